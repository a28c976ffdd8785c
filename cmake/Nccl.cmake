# liblaurel_nccl.so, beside the program: sums among GPUs. Built by the cuda preset, from the headers of libtorch's own CUDA
# and NCCL (tools/setup --gpu): others may differ in the size of NCCL's settings. Links nothing: libtorch_cuda is loaded
# when it is opened.
if(NOT LAUREL_CUDA)
  return()
endif()
set(_laurel_nvidia "${LAUREL_TORCH}/../nvidia")
find_path(NCCL_INCLUDE nccl.h PATHS "${_laurel_nvidia}/nccl/include" NO_DEFAULT_PATH REQUIRED)
find_path(CUDA_INCLUDE cuda_runtime_api.h PATHS "${_laurel_nvidia}/cu13/include" NO_DEFAULT_PATH REQUIRED)
add_library(laurel_nccl MODULE finetune/distributed/nccl/library.cpp)
target_include_directories(laurel_nccl SYSTEM PRIVATE "${LAUREL_TORCH}/include/torch/csrc/api/include"
                           "${NCCL_INCLUDE}" "${CUDA_INCLUDE}")
target_link_libraries(laurel_nccl PRIVATE laurel::torch)
set_target_properties(laurel_nccl PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
