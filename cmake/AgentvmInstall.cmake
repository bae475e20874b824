# What `cmake --install` puts where, with DESTDIR before it. And, for the programs in the build tree,
# a configuration that names that tree's files: <build>/config.toml.
if(TARGET agentvm-vsock)
  set(gateway "")
  if(TARGET agentvm-gateway)
    set(gateway "gateway = \"$<TARGET_FILE:agentvm-gateway>\"\n")
  endif()
  file(GENERATE OUTPUT "${PROJECT_BINARY_DIR}/config.toml" CONTENT
"# For the programs of this build tree: agentvm --config <this file> ...
[vm]
kernel = \"${PROJECT_BINARY_DIR}/image/vmlinux\"
initramfs = \"${PROJECT_BINARY_DIR}/image/initramfs.cpio\"
vsock_backend = \"$<TARGET_FILE:agentvm-vsock>\"
${gateway}")
endif()

install(CODE "
  if(NOT CMAKE_INSTALL_PREFIX STREQUAL \"${CMAKE_INSTALL_PREFIX}\")
    message(FATAL_ERROR \"This tree is built for the prefix ${CMAKE_INSTALL_PREFIX}, which its \"
            \"programs look into: configure with -DCMAKE_INSTALL_PREFIX=\${CMAKE_INSTALL_PREFIX} \"
            \"first. (DESTDIR stages an installation.)\")
  endif()
")

set(private_dir "${CMAKE_INSTALL_LIBEXECDIR}/agentvm")
set(data_dir "${CMAKE_INSTALL_DATADIR}/agentvm")
foreach(program agentvm containerd-shim-agentvm-v2)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  endif()
endforeach()
# What `cmake --install` needs built.
add_custom_target(programs)
foreach(program agentvm agentvm-agent agentvm-gateway agentvm-sandbox agentvm-vsock
        containerd-shim-agentvm-v2)
  if(TARGET ${program})
    add_dependencies(programs ${program})
  endif()
endforeach()
foreach(program agentvm-agent agentvm-sandbox)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION "${private_dir}")
  endif()
endforeach()

# The image when it is built (target guest-image), and the script that makes it anew when the
# distribution has a newer kernel.
install(FILES "${PROJECT_BINARY_DIR}/image/vmlinux" "${PROJECT_BINARY_DIR}/image/initramfs.cpio"
              "${PROJECT_BINARY_DIR}/image/kernel-release"
        DESTINATION "${data_dir}" OPTIONAL)
# Whole: what an older kernel had must not stay.
install(CODE "file(REMOVE_RECURSE \"\$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/${data_dir}/kernel-modules\")")
install(DIRECTORY "${PROJECT_BINARY_DIR}/image/kernel-modules" DESTINATION "${data_dir}" OPTIONAL)
install(FILES guest-agent/image/modules DESTINATION "${data_dir}")
install(PROGRAMS guest-agent/image/build-image DESTINATION "${CMAKE_INSTALL_SBINDIR}"
        RENAME agentvm-kernel)

# `agentvm image`, and what it builds the agents' images from.
install(PROGRAMS sandbox/images/agentvm-images DESTINATION "${private_dir}")
install(DIRECTORY sandbox/images/ DESTINATION "${data_dir}/images" USE_SOURCE_PERMISSIONS
        PATTERN agentvm-images EXCLUDE)

# Agent sandboxes: data, and the script that the guests run.
install(DIRECTORY sandbox/agents sandbox/services sandbox/presets
        DESTINATION "${data_dir}/sandbox" FILES_MATCHING PATTERN "*.toml")
install(DIRECTORY sandbox/completion DESTINATION "${data_dir}/sandbox")
install(PROGRAMS sandbox/guest/enter.sh DESTINATION "${data_dir}/sandbox/guest")

install(FILES README.md CHANGELOG.md DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(FILES docs/man/agentvm-sandbox.1 DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
foreach(page agentvm agentvm-gateway agentvm-images agentvm-kernel containerd-shim-agentvm-v2)
  if(EXISTS "${PROJECT_SOURCE_DIR}/docs/man/${page}.8")
    install(FILES "docs/man/${page}.8" DESTINATION "${CMAKE_INSTALL_MANDIR}/man8")
  endif()
endforeach()

# The configuration: every key commented out. A file that is there is the administrator's; the
# shipped text is always among the documents.
install(FILES runtime/config.toml DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(CODE "
  set(config \"\$ENV{DESTDIR}${AGENTVM_SYSCONFDIR}/agentvm/config.toml\")
  if(EXISTS \"\${config}\")
    message(STATUS \"Keeping: \${config}\")
  else()
    file(INSTALL DESTINATION \"${AGENTVM_SYSCONFDIR}/agentvm\" TYPE FILE
         PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ
         FILES \"${PROJECT_SOURCE_DIR}/runtime/config.toml\")
  endif()
")
