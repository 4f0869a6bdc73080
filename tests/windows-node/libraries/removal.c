/* Removal of links and of folders with links: kubelet removes the volumes of a pod, containerd the bundle of a container.
 *
 * Wine 8 removes what a link leads to instead of the link. */
#include "stand_in.h"

#include <stdio.h>
#include <string.h>

/* One entry of a folder as LINUX_GETDENTS64 writes it. */
struct entry {
    ULONGLONG inode, offset;
    WORD size;
    BYTE type;
    char name[];
};

enum { ENTRY_IS_LINK = 10, OPEN_FOLDER = 0x10000 };

#define OPEN_REPARSE_POINT 0x00200000
#define DIRECTORY_FILE 0x00000001
#define DISPOSITION_EX 64
#define NOT_IMPLEMENTED ((NTSTATUS)0xC0000002)
#define NOT_SUPPORTED ((NTSTATUS)0xC00000BB)
#define NAME_NOT_FOUND ((NTSTATUS)0xC0000034)

static BOOL(WINAPI *wine_delete_file)(LPCWSTR);
static BOOL(WINAPI *wine_remove_folder)(LPCWSTR);
static NTSTATUS(WINAPI *wine_open)(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, PIO_STATUS_BLOCK, ULONG, ULONG);
static NTSTATUS(WINAPI *wine_set_information)(HANDLE, PIO_STATUS_BLOCK, PVOID, ULONG, ULONG);

/* Removes `path` if it is a link, and tells whether it was. */
static BOOL remove_link(LPCWSTR path)
{
    char target[1024], *name = unix_path(path);
    BOOL removed;

    if (!name)
        return FALSE;
    removed = read_link(name, target, sizeof target) && linux_call(LINUX_UNLINK, name, NULL, 0) >= 0;
    HeapFree(GetProcessHeap(), 0, name);
    return removed;
}

/* Whether an entry is a link that leads nowhere. Wine does not list it. */
static BOOL leads_nowhere(const char *path, BYTE type)
{
    BYTE status[256];

    return type == ENTRY_IS_LINK && linux_call(LINUX_STAT, path, status, 0) < 0;
}

/* Goes over a folder and removes the links that lead nowhere where `remove` says so. FALSE: there is something else too. */
static BOOL sweep(const char *folder, BOOL remove)
{
    char entries[4096], path[2048];
    BOOL only_links = TRUE;
    long read, at, number = linux_call(LINUX_OPEN, folder, (void *)OPEN_FOLDER, 0);

    if (number < 0)
        return FALSE;
    while ((read = linux_call(LINUX_GETDENTS64, (void *)(LONG_PTR)number, entries, sizeof entries)) > 0) {
        for (at = 0; at < read;) {
            struct entry *entry = (struct entry *)(entries + at);
            at += entry->size;
            if (!strcmp(entry->name, ".") || !strcmp(entry->name, ".."))
                continue;
            if (snprintf(path, sizeof path, "%s/%s", folder, entry->name) >= (int)sizeof path || !leads_nowhere(path, entry->type))
                only_links = FALSE;
            else if (remove)
                linux_call(LINUX_UNLINK, path, NULL, 0);
        }
    }
    linux_call(LINUX_CLOSE, (void *)(LONG_PTR)number, NULL, 0);
    return only_links;
}

/* A folder with nothing but links that lead nowhere looks empty and cannot be removed: it is made empty first. */
static void empty_folder(LPCWSTR path)
{
    char *folder = unix_path(path);

    if (!folder)
        return;
    if (sweep(folder, FALSE))
        sweep(folder, TRUE);
    HeapFree(GetProcessHeap(), 0, folder);
}

static BOOL WINAPI delete_file(LPCWSTR path)
{
    return remove_link(path) || wine_delete_file(path);
}

static BOOL WINAPI remove_folder(LPCWSTR path)
{
    if (remove_link(path))
        return TRUE;
    empty_folder(path);
    return wine_remove_folder(path);
}

/* The whole path of a name inside an open folder; FALSE where it is too long. */
static BOOL path_inside(HANDLE folder, const UNICODE_STRING *name, WCHAR *path, DWORD size)
{
    DWORD length = GetFinalPathNameByHandleW(folder, path, size, 0);

    if (!length || length + 2 + name->Length / sizeof(WCHAR) > size)
        return FALSE;
    path[length++] = '\\';
    memcpy(path + length, name->Buffer, name->Length);
    path[length + name->Length / sizeof(WCHAR)] = 0;
    return TRUE;
}

/* Go removes a tree by opening each entry inside its folder for deletion. "Not found" means to it that the entry is gone. */
static NTSTATUS WINAPI open_file(PHANDLE file, ACCESS_MASK access, POBJECT_ATTRIBUTES what, PIO_STATUS_BLOCK status, ULONG sharing, ULONG options)
{
    WCHAR path[4096];

    if ((access & DELETE) && (options & OPEN_REPARSE_POINT) && what->RootDirectory && path_inside(what->RootDirectory, what->ObjectName, path, 4096)) {
        if (remove_link(path))
            return NAME_NOT_FOUND;
        if (options & DIRECTORY_FILE)
            empty_folder(path);
    }
    return wine_open(file, access, what, status, sharing, options);
}

/* Go deletes by a newer class of information and falls back to the older one on "not supported"; Wine 8 says "not implemented". */
static NTSTATUS WINAPI set_information(HANDLE file, PIO_STATUS_BLOCK status, PVOID data, ULONG size, ULONG kind)
{
    NTSTATUS result = wine_set_information(file, status, data, size, kind);

    return kind == DISPOSITION_EX && result == NOT_IMPLEMENTED ? NOT_SUPPORTED : result;
}

void stand_in_for_removal_of_links(replace_function replace)
{
    HMODULE kernel = GetModuleHandleA("kernel32.dll");

    wine_delete_file = replace(kernel, "DeleteFileW", delete_file);
    wine_remove_folder = replace(kernel, "RemoveDirectoryW", remove_folder);
}

void stand_in_for_removal(void)
{
    HMODULE nt = GetModuleHandleA("ntdll.dll");

    wine_open = replace_export(nt, "NtOpenFile", open_file);
    wine_set_information = replace_export(nt, "NtSetInformationFile", set_information);
}
