/* A stand-in for pdh.dll: kubelet reads the processor time, the memory and the network of the machine from eleven performance
 * counters, and Wine's library knows none with a wildcard or a total. */
#include <windows.h>
#include <wchar.h>

#define EXPORT __declspec(dllexport) LONG WINAPI
#define MORE_DATA ((LONG)0x800007D2)

/* What a counter tells. Its handle is its kind. */
enum kind { PROCESSOR = 1, WORKING_SET, COMMITTED, NETWORK };

struct value {
    DWORD status;
    double number;
};

struct item {
    LPWSTR name;
    struct value value;
};

EXPORT PdhOpenQueryW(LPCWSTR source, DWORD_PTR user, HANDLE *query)
{
    (void)source;
    (void)user;
    *query = (HANDLE)1; /* nothing is kept for a query */
    return ERROR_SUCCESS;
}

EXPORT PdhOpenQuery(LPCWSTR source, DWORD_PTR user, HANDLE *query)
{
    return PdhOpenQueryW(source, user, query);
}

EXPORT PdhCloseQuery(HANDLE query)
{
    (void)query;
    return ERROR_SUCCESS;
}

/* Values are read when they are asked for. */
EXPORT PdhCollectQueryData(HANDLE query)
{
    (void)query;
    return ERROR_SUCCESS;
}

EXPORT PdhValidatePathW(LPCWSTR path)
{
    (void)path;
    return ERROR_SUCCESS;
}

EXPORT PdhAddEnglishCounterW(HANDLE query, LPCWSTR path, DWORD_PTR user, HANDLE *counter)
{
    static const struct {
        const WCHAR *part;
        enum kind kind;
    } known[] = {
        { L"% Processor Time", PROCESSOR },
        { L"Working Set - Private", WORKING_SET },
        { L"Committed Bytes", COMMITTED },
    };
    enum kind found = NETWORK; /* every other counter that kubelet adds */
    size_t i;

    (void)query;
    (void)user;
    for (i = 0; i < sizeof known / sizeof *known; i++)
        if (wcsstr(path, known[i].part))
            found = known[i].kind;
    *counter = (HANDLE)(DWORD_PTR)found;
    return ERROR_SUCCESS;
}

EXPORT PdhAddCounterW(HANDLE query, LPCWSTR path, DWORD_PTR user, HANDLE *counter)
{
    return PdhAddEnglishCounterW(query, path, user, counter);
}

static ULONGLONG ticks(FILETIME time)
{
    return ((ULONGLONG)time.dwHighDateTime << 32) | time.dwLowDateTime;
}

/* The share of time in percent in which a processor was busy since the last question. */
static double busy_percent(void)
{
    static ULONGLONG idle_before, all_before;
    FILETIME idle, kernel, user;
    ULONGLONG idle_now, all_now;
    double busy = 0;

    if (!GetSystemTimes(&idle, &kernel, &user))
        return 0;
    idle_now = ticks(idle);
    all_now = ticks(kernel) + ticks(user); /* the kernel's time has the idle time in it */
    if (all_now > all_before && idle_now >= idle_before)
        busy = 100.0 * (1.0 - (double)(idle_now - idle_before) / (double)(all_now - all_before));
    idle_before = idle_now;
    all_before = all_now;
    return busy < 0 ? 0 : busy;
}

static struct value value_of(HANDLE counter)
{
    struct value value = { 0, 0 };
    MEMORYSTATUSEX memory = { 0 };

    memory.dwLength = sizeof memory;
    switch ((enum kind)(DWORD_PTR)counter) {
    case PROCESSOR:
        value.number = busy_percent();
        break;
    case WORKING_SET:
    case COMMITTED:
        if (GlobalMemoryStatusEx(&memory))
            value.number = (double)(memory.ullTotalPhys - memory.ullAvailPhys);
        break;
    case NETWORK: /* nothing is known about the network, so nothing was sent */
        break;
    }
    return value;
}

EXPORT PdhGetFormattedCounterValue(HANDLE counter, DWORD format, DWORD *type, struct value *value)
{
    (void)format;
    (void)type;
    *value = value_of(counter);
    return ERROR_SUCCESS;
}

/* One item: the total, or the only network adapter. */
EXPORT PdhGetFormattedCounterArrayW(HANDLE counter, DWORD format, DWORD *size, DWORD *count, struct item *items)
{
    static WCHAR total[] = L"_Total", adapter[] = L"eth0";
    DWORD room = *size;

    (void)format;
    *size = sizeof *items;
    *count = 1;
    if (room < sizeof *items)
        return MORE_DATA;
    items->name = (DWORD_PTR)counter == NETWORK ? adapter : total;
    items->value = value_of(counter);
    return ERROR_SUCCESS;
}
