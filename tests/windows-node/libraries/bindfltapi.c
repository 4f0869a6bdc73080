/* A stand-in for bindfltapi.dll, which Wine lacks: containerd asks for the bindings of a folder before it removes it, and removes
 * nothing while it gets no answer. There are never any bindings here, and none can be made. */
#include <windows.h>

__declspec(dllexport) HRESULT WINAPI BfSetupFilter(HANDLE job, ULONG flags, LPCWSTR virtual_path, LPCWSTR target, LPCWSTR *exceptions, ULONG count)
{
    (void)job;
    (void)flags;
    (void)virtual_path;
    (void)target;
    (void)exceptions;
    (void)count;
    return HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED);
}

__declspec(dllexport) HRESULT WINAPI BfRemoveMapping(HANDLE job, LPCWSTR virtual_path)
{
    (void)job;
    (void)virtual_path;
    return HRESULT_FROM_WIN32(ERROR_NOT_FOUND);
}

__declspec(dllexport) HRESULT WINAPI BfGetMappings(ULONG flags, HANDLE job, LPCWSTR virtual_path, PSID user, PULONG size, LPVOID mappings)
{
    (void)flags;
    (void)job;
    (void)virtual_path;
    (void)user;
    (void)size;
    (void)mappings;
    return HRESULT_FROM_WIN32(ERROR_NOT_FOUND);
}
