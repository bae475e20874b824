#include "rpc/stream_relay.h"
