# Dependencies, flags and the few functions every CMakeLists.txt of the house uses.

find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(absl REQUIRED)
find_library(CRYPT_LIBRARY crypt REQUIRED)  # libxcrypt: bcrypt
find_package(PkgConfig REQUIRED)
pkg_check_modules(libuv REQUIRED IMPORTED_TARGET libuv)
pkg_check_modules(liburing REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(cares REQUIRED IMPORTED_TARGET libcares)
pkg_check_modules(re2 REQUIRED IMPORTED_TARGET re2)
pkg_check_modules(yaml REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(brotlidec REQUIRED IMPORTED_TARGET libbrotlidec)
pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET libnghttp2)
pkg_check_modules(isal REQUIRED IMPORTED_TARGET libisal)

# Debian has no C package of llhttp; node-llhttp ships its generated sources.
find_path(LLHTTP_SOURCE_DIR llhttp.c PATHS /usr/share/llhttp NO_DEFAULT_PATH REQUIRED)
find_path(LLHTTP_INCLUDE_DIR llhttp.h PATHS /usr/share/include/llhttp REQUIRED)
add_library(llhttp STATIC ${LLHTTP_SOURCE_DIR}/llhttp.c ${LLHTTP_SOURCE_DIR}/api.c
                          ${LLHTTP_SOURCE_DIR}/http.c)
target_include_directories(llhttp SYSTEM PUBLIC ${LLHTTP_INCLUDE_DIR})
# Header names with blanks in them are errors, not names.
target_compile_definitions(llhttp PUBLIC LLHTTP_STRICT_MODE=1)

if(SONDE_SANITIZE)
  add_compile_options(-fsanitize=${SONDE_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SONDE_SANITIZE})
endif()
if(SONDE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

set(SONDE_WARNINGS -Wall -Wextra -Wshadow -Wconversion -Wnon-virtual-dtor -Wno-sign-conversion
                   -Wno-missing-field-initializers)
if(SONDE_WERROR)
  list(APPEND SONDE_WARNINGS -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports these inside its own headers at -O2 and under sanitizers.
  list(APPEND SONDE_WARNINGS -Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow
                             -Wno-array-bounds)
endif()

# sonde_library(NAME SOURCES ... DEPS ...): one room, or a part of one.
function(sonde_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_options(${name} PRIVATE ${SONDE_WARNINGS})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS})
endfunction()

# sonde_program(NAME SOURCES ... DEPS ...): an executable in the build folder.
function(sonde_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_options(${name} PRIVATE ${SONDE_WARNINGS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
endfunction()

# sonde_test(NAME SOURCES ... DEPS ... [LABELS ...]): one GoogleTest binary, one ctest entry.
# Label `threads`: the test also runs under ThreadSanitizer.
function(sonde_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  find_package(GTest REQUIRED)
  sonde_program(${name} SOURCES ${ARG_SOURCES} DEPS ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  # Half of the time to build: what GoogleTest's macros become under sanitizers.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Debug>:-O0>)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 LABELS "${ARG_LABELS}")
endfunction()

# sonde_fuzz(NAME SOURCES ... DEPS ...): a libFuzzer target whose corpus stands in
# tests/corpus/NAME. Without SONDE_FUZZ it is an ordinary test that replays the corpus.
function(sonde_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  set(corpus ${PROJECT_SOURCE_DIR}/tests/corpus/${name})
  if(SONDE_FUZZ)
    sonde_program(${name} SOURCES ${ARG_SOURCES} DEPS ${ARG_DEPS})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    sonde_program(${name} SOURCES ${ARG_SOURCES}
                  ${PROJECT_SOURCE_DIR}/tests/support/fuzz_replay.cc DEPS ${ARG_DEPS})
    add_test(NAME ${name} COMMAND ${name} ${corpus})
    set_tests_properties(${name} PROPERTIES LABELS "fuzz")
  endif()
endfunction()
