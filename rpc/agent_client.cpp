#include "rpc/agent_client.h"
