// How PID 1 ends: never by returning, always by powering the machine off, with one line on the
// console when something was wrong.
#pragma once

#include <string_view>

namespace agentvm::guest {

// From now on a crash of this process (a fatal signal, std::terminate) prints one line and powers
// off. Only for PID 1. Children that crash before their execve(2) only end.
void power_off_on_crash();

// Powers the machine off. Does not sync: who wants that has done it.
[[noreturn]] void power_off();

// Prints "agentvm-agent: <why>" on the console and powers off.
[[noreturn]] void die(std::string_view why);

}  // namespace agentvm::guest
