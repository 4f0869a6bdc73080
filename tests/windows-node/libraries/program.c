/* Chooses what a program is given, and the two means of giving it: other exports, and system calls of Linux. */
#include "stand_in.h"

#include <string.h>

/* The programs that are not ours, which get everything. */
static const char *const PROGRAMS[] = { "containerd.exe", "ctr.exe", "kubelet.exe" };

/* Our own gets symbolic links and nothing else: without any link no volume is live, and Wine makes none. What runs in a
 * container sees Wine as it is, which follows links. */
static const char *const SHIM = "containerd-shim-hosttask-v1.exe";

/* The name of the file of this program, in `path`; NULL where it is too long. */
static const char *this_program(char path[MAX_PATH])
{
    const char *name;

    if (!GetModuleFileNameA(NULL, path, MAX_PATH))
        return NULL;
    name = strrchr(path, '\\');
    return name ? name + 1 : path;
}

static BOOL is_foreign(const char *name)
{
    size_t i;

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

void *replace_import(HMODULE library, const char *name, void *instead)
{
    BYTE *program = (BYTE *)GetModuleHandleA(NULL);
    IMAGE_NT_HEADERS *headers = (IMAGE_NT_HEADERS *)(program + ((IMAGE_DOS_HEADER *)program)->e_lfanew);
    DWORD imports = headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress, protection;
    IMAGE_IMPORT_DESCRIPTOR *from = (IMAGE_IMPORT_DESCRIPTOR *)(program + imports);
    void *before = (void *)GetProcAddress(library, name);
    void **linked;

    for (; imports && before && from->Name; from++)
        for (linked = (void **)(program + from->FirstThunk); *linked; linked++) {
            if (*linked != before)
                continue;
            VirtualProtect(linked, sizeof *linked, PAGE_READWRITE, &protection);
            *linked = instead;
            VirtualProtect(linked, sizeof *linked, protection, &protection);
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
    char path[MAX_PATH];
    const char *name;

    (void)library;
    (void)reserved;
    if (reason != DLL_PROCESS_ATTACH)
        return TRUE;
    name = this_program(path);
    if (!name || (_stricmp(name, SHIM) && !is_foreign(name)))
        return TRUE;
    /* Only Wine has this function; on Windows nothing is missing. */
    if (!GetProcAddress(GetModuleHandleA("kernel32.dll"), "wine_get_unix_file_name"))
        return TRUE;
    if (!_stricmp(name, SHIM)) {
        /* A program in Rust was linked to the functions of Windows before this library was started. */
        stand_in_for_links(replace_import);
        stand_in_for_removal_of_links(replace_import);
        return TRUE;
    }
    stand_in_for_pipes();
    stand_in_for_links(replace_export);
    stand_in_for_removal_of_links(replace_export);
    stand_in_for_removal();
    stand_in_for_sockets();
    stand_in_for_adapters();
    return TRUE;
}
