#include "rpc/guest_connect.h"
