/* The installer of the demonstration, `vc_redist.x64.exe`: says what it was asked for, and ends as an installer that replaced
 * files in use does. */
#include <stdio.h>
#include <windows.h>

/* ERROR_SUCCESS_REBOOT_REQUIRED */
enum { REBOOT_REQUIRED = 3010 };

int main(int count, char **arguments)
{
    int i;

    printf("asked for:");
    for (i = 1; i < count; i++)
        printf(" %s", arguments[i]);
    puts("");
    fflush(stdout);
    Sleep(4000);
    puts("The requested operation is successful. Restart the computer to finish.");
    return REBOOT_REQUIRED;
}
