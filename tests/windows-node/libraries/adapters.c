/* The list of network adapters, from which kubelet checks the address of its node.
 *
 * Wine 8 answers "invalid data" where a route of the Linux machine is of a kind it does not know. The same question without
 * prefixes and gateways, and at last for IPv4 only, has an answer. */
#include "stand_in.h"

#include <iphlpapi.h>

static ULONG(WINAPI *wine_adapters)(ULONG, ULONG, PVOID, PVOID, PULONG);

static ULONG WINAPI adapters(ULONG family, ULONG flags, PVOID reserved, PVOID list, PULONG size)
{
    const struct {
        ULONG family, without;
    } tries[] = {
        { family, 0 },
        { family, GAA_FLAG_INCLUDE_GATEWAYS },
        { family, GAA_FLAG_INCLUDE_GATEWAYS | GAA_FLAG_INCLUDE_PREFIX },
        { AF_INET, GAA_FLAG_INCLUDE_GATEWAYS | GAA_FLAG_INCLUDE_PREFIX },
    };
    const ULONG room = *size;
    ULONG result = ERROR_INVALID_DATA;
    size_t i;

    for (i = 0; i < sizeof tries / sizeof *tries && result == ERROR_INVALID_DATA; i++) {
        *size = room;
        result = wine_adapters(tries[i].family, flags & ~tries[i].without, reserved, list, size);
    }
    return result;
}

void stand_in_for_adapters(void)
{
    HMODULE library = LoadLibraryA("iphlpapi.dll");

    if (library)
        wine_adapters = replace_export(library, "GetAdaptersAddresses", adapters);
}
