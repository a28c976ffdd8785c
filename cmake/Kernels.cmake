# liblaurel_kernels.so, beside the program: the CUDA kernels of data/kernels, without libtorch. Built by the cuda preset.
if(NOT LAUREL_CUDA)
  return()
endif()
find_program(NVCC nvcc PATHS /usr/local/cuda/bin)
if(NOT NVCC)
  message(WARNING "nvcc is missing: on a GPU, laurel will compute with libtorch's kernels alone")
  return()
endif()
file(GLOB kernel_files CONFIGURE_DEPENDS data/nn/kernels/*.cu data/nn/kernels/*.cuh data/nn/kernels/abi.hpp)
set(kernel_library ${CMAKE_BINARY_DIR}/bin/liblaurel_kernels.so)
add_custom_command(
  OUTPUT ${kernel_library}
  COMMAND ${CMAKE_COMMAND} -DSOURCE_DIR=${CMAKE_SOURCE_DIR} -DOUTPUT=${kernel_library} -DNVCC=${NVCC}
          -P ${CMAKE_SOURCE_DIR}/cmake/compile_kernels.cmake
  DEPENDS ${kernel_files} cmake/compile_kernels.cmake)
add_custom_target(laurel_kernels ALL DEPENDS ${kernel_library})
