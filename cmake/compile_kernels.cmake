# Compiles data/nn/kernels/*.cu into one library for GPUs: machine code for sm_80 and sm_90, PTX for what is newer.
# cmake -DSOURCE_DIR=.. -DOUTPUT=.. [-DNVCC=..] -P compile_kernels.cmake; without nvcc it skips aloud.
find_program(NVCC nvcc PATHS /usr/local/cuda/bin)
if(NOT NVCC)
  message(STATUS "SKIPPED: nvcc (the CUDA toolkit) is not installed")
  return()
endif()
file(GLOB sources ${SOURCE_DIR}/data/nn/kernels/*.cu)
# libtorch's own CUDA runtime, which is in the process already: one current device, one primary context.
execute_process(
  COMMAND ${NVCC} -std=c++20 -O3 -I${SOURCE_DIR} -shared -cudart shared
          -Werror all-warnings -Xcompiler -fPIC,-Wall,-Wextra,-fvisibility=hidden
          -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=[sm_90,compute_90]
          ${sources} -o ${OUTPUT}
  RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "nvcc refuses the kernels")
endif()
