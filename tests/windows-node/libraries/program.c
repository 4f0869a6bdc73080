/* Chooses what a program is given, and the two means of giving it: other exports, and system calls of Linux. */
#include "stand_in.h"

#include <string.h>

/* The programs that are not ours. The shim and everything that runs in a container see Wine as it is. */
static const char *const PROGRAMS[] = { "containerd.exe", "ctr.exe", "kubelet.exe" };

static BOOL is_for_this_program(void)
{
    char path[MAX_PATH];
    const char *name;
    size_t i;

    if (!GetModuleFileNameA(NULL, path, sizeof path))
        return FALSE;
    name = strrchr(path, '\\');
    name = name ? name + 1 : path;
    for (i = 0; i < sizeof PROGRAMS / sizeof *PROGRAMS; i++)
        if (!_stricmp(name, PROGRAMS[i]))
            return TRUE;
    return FALSE;
}

/* Memory for code above the library: an export is an offset of 32 bits from the library's first byte. */
static BYTE *code_above(BYTE *library, DWORD size)
{
    const ULONG_PTR step = 0x10000; /* addresses are given out in steps of 64 KiB */
    BYTE *at = (BYTE *)(((ULONG_PTR)library + size + step - 1) & ~(step - 1));

    for (; at - library < 0x7fff0000; at += step) {
        BYTE *found = VirtualAlloc(at, 64, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
        if (found)
            return found;
    }
    return NULL;
}

/* mov rax, target; jmp rax */
static void write_jump(BYTE *code, void *target)
{
    static const BYTE load[] = { 0x48, 0xb8 }, jump[] = { 0xff, 0xe0 };

    memcpy(code, load, sizeof load);
    memcpy(code + sizeof load, &target, sizeof target);
    memcpy(code + sizeof load + sizeof target, jump, sizeof jump);
}

void *replace_export(HMODULE library, const char *name, void *instead)
{
    BYTE *base = (BYTE *)library, *code;
    IMAGE_NT_HEADERS *headers;
    IMAGE_EXPORT_DIRECTORY *exports;
    DWORD *names, *functions, i, protection;
    WORD *places;
    void *before = (void *)GetProcAddress(library, name);

    if (!before)
        return NULL;
    headers = (IMAGE_NT_HEADERS *)(base + ((IMAGE_DOS_HEADER *)base)->e_lfanew);
    exports = (IMAGE_EXPORT_DIRECTORY *)(base + headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_EXPORT].VirtualAddress);
    names = (DWORD *)(base + exports->AddressOfNames);
    functions = (DWORD *)(base + exports->AddressOfFunctions);
    places = (WORD *)(base + exports->AddressOfNameOrdinals);
    code = code_above(base, headers->OptionalHeader.SizeOfImage);
    if (!code)
        return NULL;
    write_jump(code, instead);
    for (i = 0; i < exports->NumberOfNames; i++) {
        DWORD *function = &functions[places[i]];
        if (strcmp((char *)base + names[i], name))
            continue;
        VirtualProtect(function, sizeof *function, PAGE_READWRITE, &protection);
        *function = (DWORD)(code - base);
        VirtualProtect(function, sizeof *function, protection, &protection);
    }
    return before;
}

long linux_call(long number, const void *first, const void *second, size_t third)
{
    long long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"((long long)number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
    return (long)result;
}

BOOL WINAPI DllMain(HINSTANCE library, DWORD reason, LPVOID reserved)
{
    (void)library;
    (void)reserved;
    if (reason != DLL_PROCESS_ATTACH || !is_for_this_program())
        return TRUE;
    /* Only Wine has this function; on Windows nothing is missing. */
    if (!GetProcAddress(GetModuleHandleA("kernel32.dll"), "wine_get_unix_file_name"))
        return TRUE;
    stand_in_for_pipes();
    stand_in_for_links();
    stand_in_for_removal();
    stand_in_for_sockets();
    stand_in_for_adapters();
    return TRUE;
}
