/* Symbolic links, which kubelet makes for logs and for the contents of volumes, and containerd for its work folders.
 *
 * Wine 8 follows the links of Unix but can neither make nor read one. Here they are made and read with system calls of Linux. */
#include "stand_in.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Longest target of a link, in bytes. */
enum { TARGET = 1024 };
/* How many links one program may have open at the same time; Go closes each at once. */
enum { OPEN_LINKS = 64 };

/* The reparse point of a symbolic link, as FSCTL_GET_REPARSE_POINT tells it. */
struct link_point {
    DWORD tag;
    WORD size, reserved, target_at, target_size, shown_at, shown_size;
    DWORD flags; /* 1: relative */
    WCHAR names[];
};

static CRITICAL_SECTION lock;
static struct {
    HANDLE file; /* NULL: this place is free */
    char target[TARGET];
} links[OPEN_LINKS];

static char *(CDECL *wine_unix_name)(LPCWSTR);
static HANDLE(WINAPI *wine_create_file)(LPCWSTR, DWORD, DWORD, LPSECURITY_ATTRIBUTES, DWORD, DWORD, HANDLE);
static BOOL(WINAPI *wine_control)(HANDLE, DWORD, LPVOID, DWORD, LPVOID, DWORD, LPDWORD, LPOVERLAPPED);
static BOOL(WINAPI *wine_close)(HANDLE);
static BOOL(WINAPI *wine_information)(HANDLE, BY_HANDLE_FILE_INFORMATION *);
static BOOL(WINAPI *wine_information_of_class)(HANDLE, FILE_INFO_BY_HANDLE_CLASS, LPVOID, DWORD);

char *unix_path(LPCWSTR path)
{
    return wine_unix_name ? wine_unix_name(path) : NULL;
}

BOOL read_link(const char *unix_name, char *target, size_t size)
{
    long length = linux_call(LINUX_READLINK, unix_name, target, size - 1);

    if (length <= 0 || (size_t)length >= size - 1)
        return FALSE;
    target[length] = 0;
    return TRUE;
}

/* What a link of Unix stores for a target of Windows: an absolute one becomes a path of Unix, a relative one gets slashes. */
static BOOL stored_target(LPCWSTR target, char *stored, size_t size)
{
    char *absolute = NULL, *at;
    size_t length;

    if (target[0] && target[1] == ':') {
        absolute = unix_path(target);
        if (!absolute)
            return FALSE;
        length = strlen(absolute);
        if (length < size)
            memcpy(stored, absolute, length + 1);
        HeapFree(GetProcessHeap(), 0, absolute);
        if (length >= size)
            return FALSE;
    } else {
        if (!WideCharToMultiByte(CP_UTF8, 0, target, -1, stored, (int)size, NULL, NULL))
            return FALSE;
        for (at = stored; *at; at++)
            if (*at == '\\')
                *at = '/';
    }
    for (length = strlen(stored); length > 1 && stored[length - 1] == '/'; length--)
        stored[length - 1] = 0;
    return TRUE;
}

static BOOLEAN WINAPI create_link(LPCWSTR link, LPCWSTR target, DWORD flags)
{
    const long exists = -17;
    char stored[TARGET], *place = unix_path(link);
    long result;

    (void)flags;
    if (!place || !stored_target(target, stored, sizeof stored)) {
        SetLastError(ERROR_PATH_NOT_FOUND);
        return FALSE;
    }
    result = linux_call(LINUX_SYMLINK, stored, place, 0);
    HeapFree(GetProcessHeap(), 0, place);
    if (result < 0)
        SetLastError(result == exists ? ERROR_ALREADY_EXISTS : ERROR_PATH_NOT_FOUND);
    return result >= 0;
}

/* Remembers where the link leads that was opened as a link and not as its target. */
static HANDLE WINAPI create_file(LPCWSTR path, DWORD access, DWORD sharing, LPSECURITY_ATTRIBUTES security, DWORD disposition, DWORD flags, HANDLE template)
{
    HANDLE file = wine_create_file(path, access, sharing, security, disposition, flags, template);
    DWORD error = GetLastError();
    char target[TARGET], *place;
    int i;

    if (file == INVALID_HANDLE_VALUE || !(flags & FILE_FLAG_OPEN_REPARSE_POINT))
        return file;
    place = unix_path(path);
    if (place && read_link(place, target, sizeof target)) {
        EnterCriticalSection(&lock);
        for (i = 0; i < OPEN_LINKS && links[i].file; i++)
            ;
        if (i < OPEN_LINKS) {
            links[i].file = file;
            memcpy(links[i].target, target, sizeof target);
        }
        LeaveCriticalSection(&lock);
    }
    if (place)
        HeapFree(GetProcessHeap(), 0, place);
    SetLastError(error);
    return file;
}

static BOOL WINAPI close_handle(HANDLE handle)
{
    int i;

    EnterCriticalSection(&lock);
    for (i = 0; handle && i < OPEN_LINKS; i++)
        if (links[i].file == handle)
            links[i].file = NULL;
    LeaveCriticalSection(&lock);
    return wine_close(handle);
}

static BOOL target_of(HANDLE file, char target[TARGET])
{
    BOOL found = FALSE;
    int i;

    EnterCriticalSection(&lock);
    for (i = 0; file && i < OPEN_LINKS && !found; i++)
        if (links[i].file == file) {
            memcpy(target, links[i].target, TARGET);
            found = TRUE;
        }
    LeaveCriticalSection(&lock);
    return found;
}

/* The target as Windows writes it: drive Z: is the root of Unix. */
static int windows_target(const char *target, WCHAR *name, int size)
{
    int start = 0, length, i;

    if (target[0] == '/') {
        name[start++] = 'Z';
        name[start++] = ':';
    }
    length = MultiByteToWideChar(CP_UTF8, 0, target, -1, name + start, size - start);
    if (!length)
        return 0;
    for (i = 0; name[i]; i++)
        if (name[i] == '/')
            name[i] = '\\';
    return i;
}

static BOOL WINAPI control(HANDLE file, DWORD code, LPVOID in, DWORD in_size, LPVOID out, DWORD out_size, LPDWORD returned, LPOVERLAPPED overlapped)
{
    struct link_point *point = out;
    WCHAR name[TARGET + 2];
    char target[TARGET];
    DWORD bytes, whole;

    if (code != FSCTL_GET_REPARSE_POINT || !target_of(file, target))
        return wine_control(file, code, in, in_size, out, out_size, returned, overlapped);
    bytes = (DWORD)windows_target(target, name, TARGET + 2) * sizeof(WCHAR);
    whole = (DWORD)offsetof(struct link_point, names) + 2 * bytes;
    if (out_size < whole) {
        SetLastError(ERROR_INSUFFICIENT_BUFFER);
        return FALSE;
    }
    memset(point, 0, offsetof(struct link_point, names));
    point->tag = IO_REPARSE_TAG_SYMLINK;
    point->size = (WORD)(whole - offsetof(struct link_point, target_at));
    point->target_size = point->shown_at = point->shown_size = (WORD)bytes;
    point->flags = target[0] != '/';
    memcpy(point->names, name, bytes);
    memcpy((BYTE *)point->names + bytes, name, bytes);
    if (returned)
        *returned = whole;
    return TRUE;
}

/* Rust asks for the attributes of what it opened, where Go asks for its reparse point. */
static BOOL WINAPI information(HANDLE file, BY_HANDLE_FILE_INFORMATION *found)
{
    char target[TARGET];

    if (!wine_information(file, found))
        return FALSE;
    if (target_of(file, target))
        found->dwFileAttributes |= FILE_ATTRIBUTE_REPARSE_POINT;
    return TRUE;
}

static BOOL WINAPI information_of_class(HANDLE file, FILE_INFO_BY_HANDLE_CLASS class, LPVOID found, DWORD size)
{
    FILE_ATTRIBUTE_TAG_INFO *tag = found;
    BY_HANDLE_FILE_INFORMATION attributes;
    char target[TARGET];

    if (class != FileAttributeTagInfo || size < sizeof *tag || !target_of(file, target))
        return wine_information_of_class(file, class, found, size);
    if (!wine_information(file, &attributes))
        return FALSE;
    tag->FileAttributes = attributes.dwFileAttributes | FILE_ATTRIBUTE_REPARSE_POINT;
    tag->ReparseTag = IO_REPARSE_TAG_SYMLINK;
    return TRUE;
}

void stand_in_for_links(replace_function replace)
{
    HMODULE kernel = GetModuleHandleA("kernel32.dll");

    InitializeCriticalSection(&lock);
    wine_unix_name = (void *)GetProcAddress(kernel, "wine_get_unix_file_name");
    replace(kernel, "CreateSymbolicLinkW", create_link);
    wine_create_file = replace(kernel, "CreateFileW", create_file);
    wine_control = replace(kernel, "DeviceIoControl", control);
    wine_close = replace(kernel, "CloseHandle", close_handle);
    wine_information = replace(kernel, "GetFileInformationByHandle", information);
    wine_information_of_class = replace(kernel, "GetFileInformationByHandleEx", information_of_class);
}
