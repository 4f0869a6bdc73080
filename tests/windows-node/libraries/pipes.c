/* Named pipes as go-winio makes them.
 *
 * go-winio holds the name of a pipe with a first instance that can neither read nor write, and serves others. Windows lets
 * no client into such an instance. Wine does, and that client waits for ever. Here the instance is filled with a client of
 * our own at once, so that the next client gets the next instance. */
#include "stand_in.h"

typedef NTSTATUS(WINAPI *create_pipe)(PHANDLE, ULONG, POBJECT_ATTRIBUTES, PIO_STATUS_BLOCK, ULONG, ULONG, ULONG, ULONG, ULONG, ULONG, ULONG, ULONG, ULONG, PLARGE_INTEGER);

static create_pipe wine_create_pipe;

static BOOL can_carry_data(ULONG access)
{
    return (access & (GENERIC_READ | GENERIC_WRITE | GENERIC_ALL | FILE_READ_DATA | FILE_WRITE_DATA)) != 0;
}

static NTSTATUS WINAPI create_pipe_without_ghost(PHANDLE pipe, ULONG access, POBJECT_ATTRIBUTES name, PIO_STATUS_BLOCK status, ULONG sharing, ULONG disposition, ULONG options,
                                                 ULONG type, ULONG read_mode, ULONG completion_mode, ULONG instances, ULONG inbound, ULONG outbound, PLARGE_INTEGER timeout)
{
    NTSTATUS result = wine_create_pipe(pipe, access, name, status, sharing, disposition, options, type, read_mode, completion_mode, instances, inbound, outbound, timeout);
    IO_STATUS_BLOCK ignored;
    HANDLE client;

    if (result || can_carry_data(access))
        return result;
    if (!NtOpenFile(&client, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, name, &ignored, 0, FILE_SYNCHRONOUS_IO_NONALERT))
        NtClose(client);
    return result;
}

void stand_in_for_pipes(void)
{
    wine_create_pipe = (create_pipe)replace_export(GetModuleHandleA("ntdll.dll"), "NtCreateNamedPipeFile", create_pipe_without_ghost);
}
