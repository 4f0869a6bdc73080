/* Wine before 9 has no bcryptprimitives.dll, and every Rust and Go program asks it for randomness at its start.
 * This one passes the request on to the older name of the same thing: advapi32's SystemFunction036. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T length)
{
    const ULONG most = 1UL << 28; /* the length there has 32 bits, here 64 */

    while (length > 0) {
        ULONG part = length < most ? (ULONG)length : most;
        if (!SystemFunction036(buffer, part))
            return FALSE;
        buffer += part;
        length -= part;
    }
    return TRUE;
}
