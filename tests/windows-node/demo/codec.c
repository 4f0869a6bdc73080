/* The library that the bad release of the service is built with and that no node has. */

int codec_version(void)
{
    return 2;
}
