# liblaurel_graph.so, beside the program: CUDA graphs, from the headers of libtorch's own CUDA runtime, which are there
# without a GPU too. Links nothing: libtorch_cuda is loaded when it is opened. Without it the program does without graphs.
find_path(CUDA_INCLUDE cuda_runtime_api.h PATHS "${LAUREL_TORCH}/../nvidia/cu13/include" NO_DEFAULT_PATH)
if(NOT CUDA_INCLUDE OR NOT EXISTS "${CUDA_INCLUDE}/crt/host_config.h")
  message(STATUS "CUDA graphs: left out, crt/host_config.h is not beside libtorch's cuda_runtime_api.h; run tools/setup")
  return()
endif()
add_library(laurel_graph MODULE diffusion/pipeline/graph/library.cpp)
target_include_directories(laurel_graph SYSTEM PRIVATE "${CUDA_INCLUDE}")
target_link_libraries(laurel_graph PRIVATE laurel::torch)
set_target_properties(laurel_graph PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
