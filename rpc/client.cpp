#include "rpc/client.h"
