/* The service of the demonstration, `log-forwarder.exe`: it stays, has two programs below it, and uses memory and time.
 *
 * Built with NEEDS_CODEC it is the bad release: it needs a library that no node has, so Windows ends it before it begins. */
#include <stdio.h>
#include <string.h>
#include <windows.h>

#ifdef NEEDS_CODEC
__declspec(dllimport) int codec_version(void);
#endif

enum { MEGABYTE = 1024 * 1024 };

/* Keeps memory that was written to, as a cache does; the answer says whether there was any. */
static BOOL keep(SIZE_T bytes)
{
    char *memory = VirtualAlloc(NULL, bytes, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);

    if (memory)
        memset(memory, 1, bytes);
    return memory != NULL;
}

/* Starts this program again in another role. */
static BOOL start(const char *role)
{
    STARTUPINFOA how = { .cb = sizeof how };
    PROCESS_INFORMATION started;
    char program[MAX_PATH], line[MAX_PATH];

    if (!GetModuleFileNameA(NULL, program, sizeof program))
        return FALSE;
    snprintf(line, sizeof line, "log-forwarder.exe %s", role);
    if (!CreateProcessA(program, line, NULL, NULL, FALSE, 0, NULL, NULL, &how, &started))
        return FALSE;
    CloseHandle(started.hThread);
    CloseHandle(started.hProcess);
    return TRUE;
}

static void say(const char *text)
{
    puts(text);
    fflush(stdout);
}

/* Uses one processor for a while. */
static void work(ULONGLONG milliseconds)
{
    ULONGLONG end = GetTickCount64() + milliseconds;

    while (GetTickCount64() < end)
        continue;
}

int main(int count, char **arguments)
{
    const char *role = count > 1 ? arguments[1] : "main";
    BOOL is_main = !strcmp(role, "main");

#ifdef NEEDS_CODEC
    if (!codec_version())
        return 1;
#endif
    if (!keep((is_main ? 24 : 8) * MEGABYTE))
        return 2;
    if (is_main) {
        if (!start("reader") || !start("sender"))
            return 3;
        say("log-forwarder 1.4 forwards");
    }
    for (;;) {
        work(is_main ? 30 : 5);
        Sleep(1000);
    }
}
