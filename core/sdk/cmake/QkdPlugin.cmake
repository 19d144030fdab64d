# qkd_add_plugin(NAME SOURCES file... [LIBRARIES target...])
#
# Builds the plugin NAME as libqkd-NAME.so in the plugin folder, and as the OBJECT library qkd-plugin-NAME-objects
# that the plugin's own unit tests link. The name is the folder, the TOML word and the file name.
# Works inside the tree and out of it, after find_package(qkd-macsec-sdk).
set(QKD_PLUGIN_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR})

function(qkd_add_plugin name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBRARIES" ${ARGN})
  if(NOT name MATCHES "^[a-z][a-z0-9]*(-[a-z0-9]+)*$")
    message(FATAL_ERROR "qkd_add_plugin: '${name}' is no plugin name; it must match [a-z][a-z0-9]*(-[a-z0-9]+)*")
  endif()
  set(objects qkd-plugin-${name}-objects)
  add_library(${objects} OBJECT ${arg_SOURCES})
  set_target_properties(${objects} PROPERTIES POSITION_INDEPENDENT_CODE ON
                        CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  target_link_libraries(${objects} PUBLIC qkd::sdk ${arg_LIBRARIES})
  target_include_directories(${objects} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  if(TARGET qkd::options)
    target_link_libraries(${objects} PUBLIC qkd::options)
  endif()

  set(module qkd-plugin-${name})
  add_library(${module} MODULE)
  target_link_libraries(${module} PRIVATE ${objects})
  # Only the descriptor leaves the module; every symbol is resolved at load time; the module stays until exit.
  target_link_options(${module} PRIVATE
    -Wl,--version-script=${QKD_PLUGIN_CMAKE_DIR}/plugin.map -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete)
  if(NOT QKD_SANITIZE)
    target_link_options(${module} PRIVATE -Wl,-z,defs)
  endif()
  set_target_properties(${module} PROPERTIES PREFIX "" OUTPUT_NAME libqkd-${name}
                        LINK_DEPENDS ${QKD_PLUGIN_CMAKE_DIR}/plugin.map)
  if(QKD_PLUGIN_OUTPUT_DIRECTORY)
    set_target_properties(${module} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${QKD_PLUGIN_OUTPUT_DIRECTORY})
    install(TARGETS ${module} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR_PLUGINS}
            PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  endif()
endfunction()
