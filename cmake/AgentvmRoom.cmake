# agentvm_room(<name> SOURCES ... USES ... LIBRARIES ...)
#   One static library per room: target agentvm_<name>. USES names the rooms it may include
#   (the law in the design); LIBRARIES are foreign ones.
function(agentvm_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;USES;LIBRARIES" ${ARGN})
  add_library(agentvm_${name} STATIC ${ROOM_SOURCES})
  target_link_libraries(agentvm_${name} PUBLIC agentvm_flags agentvm_asio_flags)
  foreach(used IN LISTS ROOM_USES)
    target_link_libraries(agentvm_${name} PUBLIC agentvm_${used})
  endforeach()
  target_link_libraries(agentvm_${name} PUBLIC ${ROOM_LIBRARIES})
  target_precompile_headers(agentvm_${name} REUSE_FROM agentvm_precompiled)
endfunction()

# agentvm_test(<name> SOURCES ... USES ... [FILTER ...] [ALONE])
#   One GoogleTest binary of a room; every TEST in it that --gtest_filter=FILTER lets pass becomes a
#   ctest test, which with ALONE runs while no other does.
function(agentvm_test name)
  cmake_parse_arguments(T "ALONE" "FILTER" "SOURCES;USES;LIBRARIES" ${ARGN})
  add_executable(test_${name} ${T_SOURCES})
  foreach(used IN LISTS T_USES)
    target_link_libraries(test_${name} PRIVATE agentvm_${used})
  endforeach()
  target_link_libraries(test_${name} PRIVATE ${T_LIBRARIES} GTest::gmock GTest::gtest_main)
  target_precompile_headers(test_${name} REUSE_FROM agentvm_precompiled_tests)
  gtest_discover_tests(test_${name} DISCOVERY_TIMEOUT 60 TEST_FILTER "${T_FILTER}"
                       PROPERTIES LABELS unit TIMEOUT 120 RUN_SERIAL ${T_ALONE})
endfunction()
