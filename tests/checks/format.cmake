# Every source is as clang-format leaves it. Versions differ in taste: another one than 14 (Debian 12's) skips aloud.
find_program(CLANG_FORMAT NAMES clang-format-14 clang-format)
if(NOT CLANG_FORMAT)
  message(STATUS "SKIPPED: clang-format is not installed")
  return()
endif()
execute_process(COMMAND ${CLANG_FORMAT} --version OUTPUT_VARIABLE version)
if(NOT version MATCHES "version 14\\.")
  message(STATUS "SKIPPED: the format is checked with clang-format 14, found ${version}")
  return()
endif()

set(sources "")
foreach(folder data diffusion rewards finetune tools tests)
  file(GLOB_RECURSE found ${SOURCE_DIR}/${folder}/*.cpp ${SOURCE_DIR}/${folder}/*.hpp
       ${SOURCE_DIR}/${folder}/*.cu ${SOURCE_DIR}/${folder}/*.cuh)
  list(APPEND sources ${found})
endforeach()
execute_process(COMMAND ${CLANG_FORMAT} --dry-run -Werror ${sources}
                RESULT_VARIABLE status ERROR_VARIABLE faults)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "not formatted (run clang-format -i on these):\n${faults}")
endif()
message(STATUS "format holds")
