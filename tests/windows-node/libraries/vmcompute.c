/* A stand-in for vmcompute.dll, which Wine lacks: kubelet's statistics ask the Host Networking Service for its endpoints. This
 * machine has none, as a node has that runs HostProcess containers only. */
#include <windows.h>
#include <objbase.h>
#include <string.h>

__declspec(dllexport) HRESULT WINAPI HNSCall(LPCWSTR method, LPCWSTR path, LPCWSTR object, LPWSTR *response)
{
    static const WCHAR nothing[] = L"{\"Success\":true,\"Output\":[]}";

    (void)method;
    (void)path;
    (void)object;
    *response = CoTaskMemAlloc(sizeof nothing); /* the caller frees it the same way */
    if (!*response)
        return E_OUTOFMEMORY;
    memcpy(*response, nothing, sizeof nothing);
    return S_OK;
}
