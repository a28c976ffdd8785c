# Makes OUTPUT, a C++ file that holds a page (template, style, script, and their SHA-256) as strings, which
# <ROOM>/assets.hpp declares.
# cmake -DTOOLS=<tools> -DROOM=gallery -DSTYLES=a.css,b.css -DSCRIPTS=a.js,b.js -DOUTPUT=<file> -P EmbedPage.cmake
# Styles and scripts are paths from TOOLS, joined in this order; scripts share one scope.
function(joined_files list result)
  string(REPLACE "," ";" files "${list}")
  set(all "")
  foreach(file ${files})
    file(READ "${TOOLS}/${file}" text)
    string(APPEND all "${text}")
  endforeach()
  set(${result} "${all}" PARENT_SCOPE)
endfunction()

joined_files("${SCRIPTS}" script)
joined_files("${STYLES}" style)
file(READ "${TOOLS}/${ROOM}/page/page.html" html)
string(SHA256 script_hash "${script}")
string(SHA256 style_hash "${style}")

set(text "#include \"tools/${ROOM}/assets.hpp\"\n\nnamespace ${ROOM} {\n")
foreach(name html style script script_hash style_hash)
  string(APPEND text "extern const std::string_view kPage_${name} = R\"~laurel~(${${name}})~laurel~\";\n")
endforeach()
string(APPEND text "}  // namespace ${ROOM}\n")
file(WRITE "${OUTPUT}" "${text}")
