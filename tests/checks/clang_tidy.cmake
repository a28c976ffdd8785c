# A few checks of clang-tidy (.clang-tidy) on a fixed set of sources that are cheap to parse: those of the rooms below
# that do not include ATen (2 s of a core each; one that includes ATen takes 6 s).
# Another version than 14 (Debian 12's), or a build without compile_commands.json, is reported and skipped.
# Needs SOURCE_DIR, and BINARY_DIR of a configured build.
set(rooms data/base data/system data/text data/images data/images/formats data/world)
get_filename_component(SOURCE_DIR ${SOURCE_DIR} ABSOLUTE)
get_filename_component(BINARY_DIR ${BINARY_DIR} ABSOLUTE)

find_program(CLANG_TIDY NAMES clang-tidy-14 clang-tidy)
if(NOT CLANG_TIDY)
  message(STATUS "SKIPPED: clang-tidy is not installed")
  return()
endif()
execute_process(COMMAND ${CLANG_TIDY} --version OUTPUT_VARIABLE version)
if(NOT version MATCHES "version 14\\.")
  message(STATUS "SKIPPED: the sources are checked with clang-tidy 14, found ${version}")
  return()
endif()
if(NOT EXISTS ${BINARY_DIR}/compile_commands.json)
  message(STATUS "SKIPPED: ${BINARY_DIR} has no compile_commands.json")
  return()
endif()

# clang reads neither g++'s precompiled header nor its options for it; every source includes what it uses.
file(READ ${BINARY_DIR}/compile_commands.json commands)
string(REGEX REPLACE " -include [^ ]*cmake_pch[^ ]*" "" commands "${commands}")
string(REGEX REPLACE " -(fpch-preprocess|Winvalid-pch)" "" commands "${commands}")
file(WRITE ${BINARY_DIR}/clang_tidy/compile_commands.json "${commands}")

set(sources "")
foreach(room ${rooms})
  file(GLOB found ${SOURCE_DIR}/${room}/*.cpp)
  foreach(source ${found})
    file(STRINGS ${source} aten REGEX "#include <(ATen|torch)/")
    if(NOT aten)
      list(APPEND sources ${source})
    endif()
  endforeach()
endforeach()
if(NOT sources)
  message(FATAL_ERROR "no sources in ${rooms} of ${SOURCE_DIR}")
endif()

execute_process(COMMAND ${CLANG_TIDY} -p ${BINARY_DIR}/clang_tidy --quiet ${sources}
                RESULT_VARIABLE status OUTPUT_VARIABLE faults ERROR_VARIABLE notes)
if(faults MATCHES "torch/include/[^\n]*: error:")
  message(STATUS "SKIPPED: clang-tidy cannot parse the headers of this libtorch")
  return()
endif()
if(NOT status EQUAL 0)
  message(FATAL_ERROR "clang-tidy (.clang-tidy has the checks):\n${faults}${notes}")
endif()
list(LENGTH sources count)
message(STATUS "clang-tidy holds for ${count} sources")
