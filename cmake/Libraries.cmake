# Debian's libopencv-core-dev and libopencv-imgproc-dev hold no CMake config: find them by name.
find_path(OPENCV_INCLUDE opencv2/imgproc.hpp PATH_SUFFIXES opencv4 REQUIRED)
find_library(OPENCV_CORE opencv_core REQUIRED)
find_library(OPENCV_IMGPROC opencv_imgproc REQUIRED)
add_library(laurel_opencv INTERFACE)
target_include_directories(laurel_opencv SYSTEM INTERFACE "${OPENCV_INCLUDE}")
target_link_libraries(laurel_opencv INTERFACE "${OPENCV_IMGPROC}" "${OPENCV_CORE}")

find_path(STB_INCLUDE stb_image.h PATH_SUFFIXES stb REQUIRED)
add_library(laurel_stb INTERFACE)
target_include_directories(laurel_stb SYSTEM INTERFACE "${STB_INCLUDE}")

# cpp-httplib, a library in Debian; data/system/httplib.hpp says with what it was compiled.
find_path(HTTPLIB_INCLUDE httplib.h REQUIRED)
find_library(HTTPLIB cpp-httplib REQUIRED)
add_library(laurel_httplib INTERFACE)
target_include_directories(laurel_httplib SYSTEM INTERFACE "${HTTPLIB_INCLUDE}")
target_link_libraries(laurel_httplib INTERFACE "${HTTPLIB}")

# SHA-256 by libcrypto, which uses the processor's SHA instructions.
find_package(OpenSSL REQUIRED COMPONENTS SSL Crypto)

find_path(WEBP_INCLUDE webp/decode.h REQUIRED)
find_library(WEBP webp REQUIRED)
add_library(laurel_webp INTERFACE)
target_include_directories(laurel_webp SYSTEM INTERFACE "${WEBP_INCLUDE}")
find_library(WEBPDEMUX webpdemux REQUIRED)
target_link_libraries(laurel_webp INTERFACE "${WEBPDEMUX}" "${WEBP}")

find_path(JPEG_INCLUDE jpeglib.h REQUIRED)
find_library(JPEG jpeg REQUIRED)
add_library(laurel_jpeg INTERFACE)
target_include_directories(laurel_jpeg SYSTEM INTERFACE "${JPEG_INCLUDE}")
target_link_libraries(laurel_jpeg INTERFACE "${JPEG}")

# Grapheme clusters, for the normaliser of T5's tokenizer.
find_path(UTF8PROC_INCLUDE utf8proc.h REQUIRED)
find_library(UTF8PROC utf8proc REQUIRED)
add_library(laurel_utf8proc INTERFACE)
target_include_directories(laurel_utf8proc SYSTEM INTERFACE "${UTF8PROC_INCLUDE}")
target_link_libraries(laurel_utf8proc INTERFACE "${UTF8PROC}")

# The studio's store.
find_path(SQLITE_INCLUDE sqlite3.h REQUIRED)
find_library(SQLITE sqlite3 REQUIRED)
add_library(laurel_sqlite INTERFACE)
target_include_directories(laurel_sqlite SYSTEM INTERFACE "${SQLITE_INCLUDE}")
target_link_libraries(laurel_sqlite INTERFACE "${SQLITE}")

# The studio's address for a phone.
find_path(QRENCODE_INCLUDE qrencode.h REQUIRED)
find_library(QRENCODE qrencode REQUIRED)
add_library(laurel_qrencode INTERFACE)
target_include_directories(laurel_qrencode SYSTEM INTERFACE "${QRENCODE_INCLUDE}")
target_link_libraries(laurel_qrencode INTERFACE "${QRENCODE}")

find_package(Threads REQUIRED)
