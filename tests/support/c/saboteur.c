/* A vendor's library that misbehaves in every way one can. Built with the tests by the machine's C compiler. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A library talks of its start on standard output, as some do. */
int card_open(void) {
    printf("saboteur: opened\n");
    fflush(stdout);
    return 0;
}

int card_count(void) { return 4; }

void card_null(void) {
    volatile int *nowhere = 0;
    *nowhere = 1;
}

void card_abort(void) { abort(); }

void card_exit(int status) { exit(status); }

void card_hang(void) {
    for (;;) pause();
}

void card_print(int lines) {
    for (int i = 0; i < lines; i++) {
        printf("{\"t\":\"value\",\"value\":\"forged %d\"}\n", i);
        fprintf(stderr, "\x01\xff error %d\n", i);
    }
    fflush(stdout);
}

/* Never frees, and touches what it gets: ends where the memory does. */
void card_leak(void) {
    for (;;) {
        char *block = malloc(1 << 20);
        memset(block, 1, 1 << 20);
    }
}

/* Closes what is not its own, as libraries that turn into daemons do. */
void card_close_all(void) {
    for (int fd = 3; fd < 256; fd++) close(fd);
}
