#include "rpc/frame.h"
