/* What the parts of the stand-in bcryptprimitives.dll share.
 *
 * Windows has what kubelet and containerd ask for, Wine 8 lacks some of it. Go loads bcryptprimitives.dll before any
 * package runs, so that library is the place where a program that is not ours can be given the rest. */
#ifndef STAND_IN_H
#define STAND_IN_H

#include <winsock2.h>
#include <windows.h>
#include <winternl.h>

/* Lets GetProcAddress answer `instead` for `name` of `library` from now on, and returns what it answered before.
 * Nothing changes for code that is linked already, nor where the library has no such function (then NULL). */
void *replace_export(HMODULE library, const char *name, void *instead);

/* The same for the code of the program itself, which is linked already; others keep what they have. */
void *replace_import(HMODULE library, const char *name, void *instead);

/* One of the two. */
typedef void *(*replace_function)(HMODULE library, const char *name, void *instead);

/* The Unix path behind a path of Windows, for HeapFree; NULL where there is none. */
char *unix_path(LPCWSTR path);

void stand_in_for_pipes(void);
void stand_in_for_sockets(void);
void stand_in_for_links(replace_function replace);
void stand_in_for_removal_of_links(replace_function replace);
void stand_in_for_removal(void);
void stand_in_for_adapters(void);

/* System calls of Linux on x86-64 that Wine has no Windows function for. */
enum { LINUX_OPEN = 2, LINUX_CLOSE = 3, LINUX_STAT = 4, LINUX_UNLINK = 87, LINUX_SYMLINK = 88, LINUX_READLINK = 89, LINUX_GETDENTS64 = 217 };

/* The result of a system call: negative is the number of an error. */
long linux_call(long number, const void *first, const void *second, size_t third);

/* Where the symbolic link at `unix_name` leads, as it is stored; FALSE for what is no link or does not fit. */
BOOL read_link(const char *unix_name, char *target, size_t size);

#endif
