/* Sockets of the family AF_UNIX, on which kubelet waits for device plugins.
 *
 * Windows has had them since 1803, Wine 8 refuses the family. Here such a socket is a TCP socket of the loopback address, and
 * the file at its path holds the number of its port. The names that Go asks for afterwards are those of the family. */
#include "stand_in.h"

#include <afunix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many sockets of the family one program may have: kubelet has two. A further one has no name to ask for. */
enum { SOCKETS = 256 };

static CRITICAL_SECTION lock;
static struct {
    SOCKET socket; /* 0: this place is free */
    char path[UNIX_PATH_MAX];
} named[SOCKETS];

static SOCKET(WINAPI *wine_socket)(int, int, int, LPWSAPROTOCOL_INFOW, GROUP, DWORD);
static int(WINAPI *wine_bind)(SOCKET, const struct sockaddr *, int);
static int(WINAPI *wine_connect)(SOCKET, const struct sockaddr *, int);
static int(WINAPI *wine_own_name)(SOCKET, struct sockaddr *, int *);
static int(WINAPI *wine_peer_name)(SOCKET, struct sockaddr *, int *);
static int(WINAPI *wine_close)(SOCKET);
static void(WINAPI *wine_set_error)(int);

/* The place of a socket, or of none with 0; -1 when there is none. The lock is held. */
static int place_of(SOCKET socket)
{
    int i;

    for (i = 0; i < SOCKETS; i++)
        if (named[i].socket == socket)
            return i;
    return -1;
}

static SOCKET WINAPI open_socket(int family, int type, int protocol, LPWSAPROTOCOL_INFOW info, GROUP group, DWORD flags)
{
    SOCKET opened;
    int place;

    if (family != AF_UNIX)
        return wine_socket(family, type, protocol, info, group, flags);
    opened = wine_socket(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, group, flags);
    if (opened == INVALID_SOCKET)
        return opened;
    EnterCriticalSection(&lock);
    place = place_of(0);
    if (place >= 0) {
        named[place].socket = opened;
        named[place].path[0] = 0;
    }
    LeaveCriticalSection(&lock);
    return opened;
}

static int WINAPI close_socket(SOCKET socket)
{
    int place;

    EnterCriticalSection(&lock);
    place = socket ? place_of(socket) : -1;
    if (place >= 0)
        named[place].socket = 0;
    LeaveCriticalSection(&lock);
    return wine_close(socket);
}

static BOOL is_unix(const struct sockaddr *address)
{
    return address && address->sa_family == AF_UNIX;
}

/* The path in an address of `size` bytes, which need not end with a zero byte. */
static void path_in(char path[UNIX_PATH_MAX], const struct sockaddr *address, int size)
{
    int length = size - (int)offsetof(struct sockaddr_un, sun_path);

    if (length < 0)
        length = 0;
    if (length > UNIX_PATH_MAX - 1)
        length = UNIX_PATH_MAX - 1;
    memcpy(path, ((const struct sockaddr_un *)address)->sun_path, length);
    path[length] = 0;
}

static struct sockaddr_in loopback(u_short port)
{
    struct sockaddr_in address = { 0 };

    address.sin_family = AF_INET;
    address.sin_addr.s_addr = 0x0100007f; /* 127.0.0.1 in the order of the network */
    address.sin_port = port;
    return address;
}

/* Writes the port where a client looks for it. An old file is replaced: Windows would say that the address is in use, but
 * kubelet removes only files of the socket type, and this is none. */
static BOOL write_port(const char *path, u_short port)
{
    char text[8];
    DWORD written, length = (DWORD)sprintf(text, "%u", port);
    HANDLE file = CreateFileA(path, GENERIC_WRITE, FILE_SHARE_READ, NULL, CREATE_ALWAYS, 0, NULL);
    BOOL done;

    if (file == INVALID_HANDLE_VALUE)
        return FALSE;
    done = WriteFile(file, text, length, &written, NULL);
    CloseHandle(file);
    return done;
}

/* The port that was written, 0 for none. */
static u_short read_port(const char *path)
{
    char text[8] = { 0 };
    DWORD length = 0;
    HANDLE file = CreateFileA(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, 0, NULL);

    if (file == INVALID_HANDLE_VALUE)
        return 0;
    ReadFile(file, text, sizeof text - 1, &length, NULL);
    CloseHandle(file);
    return (u_short)strtoul(text, NULL, 10);
}

static int WINAPI bind_socket(SOCKET socket, const struct sockaddr *address, int size)
{
    struct sockaddr_in chosen = loopback(0);
    int place, length = sizeof chosen;
    char path[UNIX_PATH_MAX];

    if (!is_unix(address))
        return wine_bind(socket, address, size);
    path_in(path, address, size);
    if (wine_bind(socket, (struct sockaddr *)&chosen, length) || wine_own_name(socket, (struct sockaddr *)&chosen, &length))
        return SOCKET_ERROR;
    if (!write_port(path, chosen.sin_port)) {
        wine_set_error(WSAEADDRINUSE);
        return SOCKET_ERROR;
    }
    EnterCriticalSection(&lock);
    place = place_of(socket);
    if (place >= 0)
        memcpy(named[place].path, path, sizeof path);
    LeaveCriticalSection(&lock);
    return 0;
}

static int WINAPI connect_socket(SOCKET socket, const struct sockaddr *address, int size)
{
    struct sockaddr_in listening;
    char path[UNIX_PATH_MAX];

    if (!is_unix(address))
        return wine_connect(socket, address, size);
    path_in(path, address, size);
    listening = loopback(read_port(path));
    if (!listening.sin_port) {
        wine_set_error(WSAECONNREFUSED);
        return SOCKET_ERROR;
    }
    return wine_connect(socket, (struct sockaddr *)&listening, sizeof listening);
}

/* Fills in the name of a socket of the family; FALSE for any other socket. */
static BOOL unix_name(SOCKET socket, struct sockaddr *address, int *size)
{
    struct sockaddr_un name = { 0 };
    int place, length;

    if (!socket)
        return FALSE;
    name.sun_family = AF_UNIX;
    EnterCriticalSection(&lock);
    place = place_of(socket);
    if (place >= 0)
        memcpy(name.sun_path, named[place].path, sizeof name.sun_path);
    LeaveCriticalSection(&lock);
    length = (int)(offsetof(struct sockaddr_un, sun_path) + strlen(name.sun_path) + 1);
    if (place < 0 || *size < length)
        return FALSE;
    memcpy(address, &name, length);
    *size = length;
    return TRUE;
}

static int WINAPI own_name(SOCKET socket, struct sockaddr *address, int *size)
{
    return unix_name(socket, address, size) ? 0 : wine_own_name(socket, address, size);
}

static int WINAPI peer_name(SOCKET socket, struct sockaddr *address, int *size)
{
    return unix_name(socket, address, size) ? 0 : wine_peer_name(socket, address, size);
}

void stand_in_for_sockets(void)
{
    HMODULE library = LoadLibraryA("ws2_32.dll");

    if (!library)
        return;
    InitializeCriticalSection(&lock);
    wine_set_error = (void *)GetProcAddress(library, "WSASetLastError");
    wine_socket = replace_export(library, "WSASocketW", open_socket);
    wine_bind = replace_export(library, "bind", bind_socket);
    wine_connect = replace_export(library, "connect", connect_socket);
    wine_own_name = replace_export(library, "getsockname", own_name);
    wine_peer_name = replace_export(library, "getpeername", peer_name);
    wine_close = replace_export(library, "closesocket", close_socket);
}
