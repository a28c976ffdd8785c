# The imported target laurel::torch: libtorch's CPU part, from a PyPI wheel or the user's own libtorch.
#
# find_package(Torch) of the wheel demands a CUDA toolkit of people who have no GPU, and linking `torch`
# loads every CUDA library when the program starts. So only torch_cpu and c10 are linked here;
# libtorch_cuda is loaded at run time, when a GPU is used.

set(LAUREL_TORCH "" CACHE PATH "libtorch folder (it holds include/ and lib/)")
if(NOT LAUREL_TORCH)
  if(DEFINED ENV{LAUREL_DEPS})
    set(_laurel_deps "$ENV{LAUREL_DEPS}")
  else()
    set(_laurel_deps "${CMAKE_SOURCE_DIR}/.deps")
  endif()
  set(LAUREL_TORCH "${_laurel_deps}/torch-2.11.0/torch" CACHE PATH "" FORCE)
endif()

if(NOT EXISTS "${LAUREL_TORCH}/include/ATen/ATen.h")
  message(FATAL_ERROR "No libtorch at ${LAUREL_TORCH} (expected include/ATen/ATen.h). "
                      "Run tools/setup, or pass -DLAUREL_TORCH=<your libtorch folder>.")
endif()

# Every build can use a GPU (libtorch_cuda is opened at run time); the cuda preset promises that it will find one's
# libraries.
if(LAUREL_CUDA AND NOT EXISTS "${LAUREL_TORCH}/lib/libtorch_cuda.so")
  message(FATAL_ERROR "No libtorch_cuda.so in ${LAUREL_TORCH}/lib. Run tools/setup --gpu.")
endif()
if(LAUREL_CUDA AND NOT EXISTS "${LAUREL_TORCH}/../nvidia/cudnn")
  message(FATAL_ERROR "libtorch's CUDA libraries are missing beside ${LAUREL_TORCH}. Run tools/setup --gpu.")
endif()

add_library(laurel_torch INTERFACE)
add_library(laurel::torch ALIAS laurel_torch)
target_include_directories(laurel_torch SYSTEM INTERFACE "${LAUREL_TORCH}/include")
# libtorch was built with NDEBUG; without it some classes of its headers have more members.
target_compile_definitions(laurel_torch INTERFACE $<$<NOT:$<CONFIG:Release>>:NDEBUG>)
target_link_libraries(laurel_torch INTERFACE "${LAUREL_TORCH}/lib/libtorch_cpu.so"
                                             "${LAUREL_TORCH}/lib/libc10.so")
# --disable-new-dtags: an RPATH, unlike a RUNPATH, also serves the libraries that libtorch_cpu needs.
target_link_options(laurel_torch INTERFACE "-Wl,--disable-new-dtags"
                    "-Wl,-rpath-link,${LAUREL_TORCH}/../nvidia/cu13/lib")
