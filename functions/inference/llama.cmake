# CMake includes this where llama.cpp's own project begins: -DCMAKE_PROJECT_llama.cpp_INCLUDE=…/llama.cmake

# llama-cpp-python builds the library of llama.cpp's tools and never uses it: more than half of the compiler's time.
set(LLAMA_BUILD_COMMON OFF)

# Instructions that the processor executes and an old compiler does not know are left out.
include(CheckCXXCompilerFlag)
foreach(known AVX512_BF16=-mavx512bf16 AVX_VNNI=-mavxvnni AMX_TILE=-mamx-tile AMX_INT8=-mamx-int8)
    string(REPLACE = ";" known ${known})
    list(GET known 0 name)
    if(GGML_${name})
        list(GET known 1 flag)
        check_cxx_compiler_flag(${flag} SLUICE_COMPILES_${name})
        if(NOT SLUICE_COMPILES_${name})
            set(GGML_${name} OFF)
        endif()
    endif()
endforeach()

# ggml's loops for AVX-512 take 64 numbers at once and what is left one by one, so that heads of 32 (the demo model's, the
# embedding model's) are read one by one: attention was eight times as slow as with AVX2, whose loops take 32.
set(header ${CMAKE_CURRENT_SOURCE_DIR}/ggml/src/ggml-cpu/simd-mappings.h)
file(READ ${header} text)
foreach(place "// F32 AVX512\n\n#define GGML_F32_STEP" "// Fallback FP16 <-> FP32\n\n#define GGML_F16_STEP")
    string(FIND "${text}" "${place}" found)
    if(found EQUAL -1)
        message(FATAL_ERROR "${header} is not the one that this was written for")
    endif()
    string(REPLACE "${place} 64" "${place} 32" text "${text}")
endforeach()
file(WRITE ${header} "${text}")

# The wheel says which instructions it uses (processor.py). A build with variants chooses among them instead.
function(sluice_list_instructions)
    set(used "")
    foreach(name SSE42 AVX F16C FMA AVX2 BMI2 AVX_VNNI AVX512 AVX512_VBMI AVX512_VNNI AVX512_BF16 AMX_TILE AMX_INT8)
        if(GGML_${name})
            string(APPEND used "${name}\n")
        endif()
    endforeach()
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/instructions "${used}")
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/instructions DESTINATION ${SKBUILD_PLATLIB_DIR}/llama_cpp/lib)
endfunction()
if(NOT GGML_CPU_ALL_VARIANTS)
    cmake_language(DEFER CALL sluice_list_instructions)
endif()
