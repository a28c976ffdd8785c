# Writes a ctest file that has one test for each suite of a gtest program: a process takes 0.3 s to load libtorch, which
# each of 1,700 tests would pay.
# -DPROGRAM= the program, -DRUNNER= what runs it in a folder of its own, -DFOLDER= the working folder, -DOUTPUT=
execute_process(COMMAND ${PROGRAM} --gtest_list_tests OUTPUT_VARIABLE listed COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "\n[A-Za-z0-9_/]+\\.[ \n]" suites "\n${listed}")
set(text "")
foreach(suite IN LISTS suites)
  string(REGEX REPLACE "[. \n]" "" suite "${suite}")
  string(APPEND text "add_test([=[${suite}]=] \"${RUNNER}\" \"${PROGRAM}\" \"--gtest_filter=${suite}.*\")\n"
                     "set_tests_properties([=[${suite}]=] PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77 WORKING_DIRECTORY \"${FOLDER}\")\n")
endforeach()
file(WRITE ${OUTPUT} "${text}")
