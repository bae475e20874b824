#include "rpc/agent_service.h"
