# `cmake --install build/release --prefix DIR` and `cpack`: the program, libtorch's CPU part, the embedded models, manual
# pages, completions and licences. Debian's own libraries are dependencies of the DEB package; tools/package makes a
# tarball that holds them too.
include(GNUInstallDirs)

set(laurel_private ${CMAKE_INSTALL_LIBDIR}/laurel)  # libtorch, apart from other programs' copies
# DT_RPATH, not RUNPATH (cmake/Torch.cmake): it also serves the libraries that libtorch needs.
set_target_properties(laurel PROPERTIES INSTALL_RPATH "$ORIGIN/../${laurel_private}")
install(TARGETS laurel RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
foreach(module laurel_nccl laurel_graph)
  if(TARGET ${module})
    install(TARGETS ${module} LIBRARY DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()
if(TARGET laurel_kernels)
  install(FILES ${CMAKE_BINARY_DIR}/bin/liblaurel_kernels.so DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

file(GLOB torch_libraries ${LAUREL_TORCH}/lib/libtorch_cpu.so ${LAUREL_TORCH}/lib/libc10.so
     ${LAUREL_TORCH}/lib/libgomp*.so* ${LAUREL_TORCH}/../nvidia/cu13/lib/libcudart.so.13
     ${LAUREL_TORCH}/../nvidia/cu13/lib/libcupti.so.13)
install(FILES ${torch_libraries} DESTINATION ${laurel_private})
# install(FILES) does not strip: the names in libtorch_cpu that only a debugger reads take 93 MB.
install(CODE "
  if(CMAKE_INSTALL_DO_STRIP)
    file(GLOB libraries \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${laurel_private}/*.so*\")
    execute_process(COMMAND \"${CMAKE_STRIP}\" --strip-unneeded \${libraries} COMMAND_ERROR_IS_FATAL ANY)
  endif()")
install(DIRECTORY models DESTINATION ${CMAKE_INSTALL_DATADIR}/laurel)
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs PATTERN make EXCLUDE)

# Made when installing, by the program and by tools/third-party.
install(CODE "
  set(made \"${CMAKE_BINARY_DIR}/made\")
  file(REMOVE_RECURSE \"\${made}\")
  file(MAKE_DIRECTORY \"\${made}\")
  execute_process(COMMAND \"$<TARGET_FILE:laurel>\" man --out \"\${made}/man\" OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  foreach(shell bash zsh fish)
    execute_process(COMMAND \"$<TARGET_FILE:laurel>\" completion \${shell} OUTPUT_FILE \"\${made}/\${shell}\"
                    COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
  execute_process(COMMAND \"${CMAKE_SOURCE_DIR}/tools/third-party\" \"${LAUREL_TORCH}\" \"\${made}\"
                  COMMAND_ERROR_IS_FATAL ANY)")
set(made ${CMAKE_BINARY_DIR}/made)
install(DIRECTORY ${made}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${made}/bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME laurel)
install(FILES ${made}/zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions RENAME _laurel)
install(FILES ${made}/fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d RENAME laurel.fish)
install(FILES ${made}/THIRD-PARTY ${made}/laurel.spdx.json DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB TGZ)
set(CPACK_PACKAGE_CONTACT "the laurel developers <maintainers@users.noreply.laurel.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "reward finetuning of latent diffusion models")
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_CHECKSUM SHA256)
set(CPACK_THREADS 0)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION graphics)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${LAUREL_TORCH}/lib ${LAUREL_TORCH}/../nvidia/cu13/lib)
include(CPack)
