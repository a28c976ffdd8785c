# Makes OUTPUT, a C++ file that holds the gallery's page (template, style, script and the script's SHA-256) as strings.
# cmake -DPAGE=<tools/gallery/page> -DOUTPUT=<file> -P EmbedGallery.cmake
set(scripts core grid compare detail summary curves scatter settings main)  # they share one scope, in this order
set(script "")
foreach(name ${scripts})
  file(READ "${PAGE}/${name}.js" text)
  string(APPEND script "${text}")
endforeach()
file(READ "${PAGE}/page.html" html)
file(READ "${PAGE}/style.css" style)
string(SHA256 script_hash "${script}")
string(SHA256 style_hash "${style}")

set(text "#include \"tools/gallery/assets.hpp\"\n\nnamespace gallery {\n")
foreach(name html style script script_hash style_hash)
  string(APPEND text "extern const std::string_view kPage_${name} = R\"~laurel~(${${name}})~laurel~\";\n")
endforeach()
string(APPEND text "}  // namespace gallery\n")
file(WRITE "${OUTPUT}" "${text}")
