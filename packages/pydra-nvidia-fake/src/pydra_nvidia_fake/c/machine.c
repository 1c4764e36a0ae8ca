/* The machine: mapped from the file beside the library, with faults that tests ask for while it runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fake.h"

enum { FAIL, SEGV, ABORT, HANG, DELAY };

struct State *machine;
static int file = -1;
static unsigned users, generation;

static void open_machine(void) {
    Dl_info self;
    char path[MOST_PATH];
    if (machine || !dladdr((void *)open_machine, &self)) return;
    const char *slash = strrchr(self.dli_fname, '/');
    int folder = slash ? (int)(slash - self.dli_fname) : 0;
    snprintf(path, sizeof path, "%.*s/fake-nvml.state", folder, self.dli_fname);
    file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof(struct State), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    struct State *found = mapped;
    if (mapped != MAP_FAILED && found->size == sizeof(struct State)) machine = found;
}

void lock(void) { flock(file, LOCK_EX); }

void unlock(void) { flock(file, LOCK_UN); }

static int suffer(struct Fault *fault) {
    switch (fault->kind) {
    case SEGV: {
        volatile int *nowhere = 0;
        *nowhere = 1;
        return OK;
    }
    case ABORT:
        abort();
    case HANG:
        for (;;) pause();
    case DELAY: {
        struct timespec rest = {fault->value / 1000, fault->value % 1000 * 1000000L};
        nanosleep(&rest, NULL);
        return OK;
    }
    default:
        return (int)fault->value;
    }
}

static int trouble(const char *symbol, int gpu) {
    for (int i = 0; i < MOST_FAULTS; i++) {
        struct Fault *fault = &machine->faults[i];
        if (!fault->symbol[0] || (fault->gpu != NO_GPU && fault->gpu != gpu)) continue;
        if (strcmp(fault->symbol, symbol) && strcmp(fault->symbol, "*")) continue;
        if (__atomic_load_n(&fault->left, __ATOMIC_SEQ_CST) >= 0 &&
            __atomic_fetch_sub(&fault->left, 1, __ATOMIC_SEQ_CST) <= 0) {
            __atomic_store_n(&fault->left, 0, __ATOMIC_SEQ_CST);
            continue;
        }
        int why = suffer(fault);
        if (why) return why;
    }
    return OK;
}

int enter(const char *symbol, int gpu) {
    if (!users) return UNINITIALIZED;
    __atomic_fetch_add(&machine->calls, 1, __ATOMIC_RELAXED);
    if (generation != machine->generation) return MISMATCH;
    int why = trouble(symbol, gpu);
    if (why) return why;
    return gpu != NO_GPU && machine->gpus[gpu].lost ? LOST : OK;
}

static int begin(const char *symbol, int none_is_fine) {
    open_machine();
    if (!machine) return NOT_LOADED;
    int why = trouble(symbol, NO_GPU);
    if (why) return why;
    if (!machine->kernel[0]) return NOT_LOADED;
    if (strcmp(machine->kernel, machine->driver)) return MISMATCH;
    if (!machine->n_gpus && !none_is_fine) return NOT_LOADED;
    if (!users) generation = machine->generation;
    users++;
    return OK;
}

API int nvmlInitWithFlags(unsigned flags) { return begin(__func__, flags & 1); }

API int nvmlInit_v2(void) { return begin(__func__, 0); }

API int nvmlShutdown(void) {
    if (!users) return UNINITIALIZED;
    users--;
    return OK;
}

API const char *nvmlErrorString(int code) {
    switch (code) {
    case OK: return "fine";
    case UNINITIALIZED: return "not begun";
    case INVALID: return "not an argument for this";
    case NOT_SUPPORTED: return "this GPU has no such thing";
    case NOT_LOADED: return "no kernel module";
    case LOST: return "the GPU is off the bus";
    case MISMATCH: return "library and kernel module differ";
    default: return "some trouble";
    }
}

API int nvmlSystemGetDriverVersion(char *to, unsigned size) {
    HOST();
    return text(to, size, machine->driver);
}

API int nvmlSystemGetNVMLVersion(char *to, unsigned size) {
    HOST();
    return text(to, size, machine->nvml);
}

API int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    HOST();
    NEEDS(version);
    *version = (int)machine->cuda;
    return OK;
}

API int nvmlSystemGetCudaDriverVersion(int *version) {
    HOST();
    NEEDS(version);
    *version = (int)machine->cuda;
    return OK;
}

struct branch {
    unsigned version;
    char name[80];
};

API int nvmlSystemGetDriverBranch(struct branch *branch, unsigned size) {
    HOST();
    NEEDS(branch);
    if (branch->version >> 24 != 1) return WRONG_VERSION;
    return text(branch->name, size < sizeof branch->name ? size : sizeof branch->name, machine->branch);
}

int text(char *to, unsigned size, const char *from) {
    NEEDS(to);
    if (strlen(from) >= size) return TOO_SMALL;
    strcpy(to, from);
    return OK;
}

void bus_id(char *to, size_t size, unsigned domain, unsigned bus, unsigned device) {
    snprintf(to, size, "%08X:%02X:%02X.0", domain, bus, device);
}
