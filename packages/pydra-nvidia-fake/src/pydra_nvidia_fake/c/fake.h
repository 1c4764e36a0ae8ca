/* What the parts of the stub share. The layout of the machine is made from Python, see layout.py. */
#ifndef FAKE_H
#define FAKE_H

#include <stddef.h>
#include <string.h>

#include "layout.h"

#define API __attribute__((visibility("default")))

enum {
    OK = 0,
    UNINITIALIZED = 1,
    INVALID = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    TOO_SMALL = 7,
    NOT_LOADED = 9,
    TIMEOUT = 10,
    LOST = 15,
    RESET_REQUIRED = 16,
    MISMATCH = 18,
    IN_USE = 19,
    NO_ROOM = 23,
    WRONG_VERSION = 25,
};

enum { NO_GPU = -1 };

extern struct State *machine;

/* Begin a call: whether the library may be used, and what was asked to go wrong. 0, or what to return. */
int enter(const char *symbol, int gpu);
/* Hold every other process off while something is changed. */
void lock(void);
void unlock(void);

/* What a handle stands for; NULL if for nothing of that kind. */
struct Gpu *gpu_at(const void *handle);
struct GpuInstance *instance_at(const void *handle);
struct ComputeInstance *compute_at(const void *handle);

int text(char *to, unsigned size, const char *from);
void bus_id(char *to, size_t size, unsigned domain, unsigned bus, unsigned device);

/* Make what the kernel shows of a GPU's instances agree with what there is. */
void show_instances(const struct Gpu *gpu);

#define GPU(handle)                               \
    struct Gpu *gpu = gpu_at(handle);             \
    {                                             \
        int why = enter(__func__, gpu ? (int)gpu->index : NO_GPU); \
        if (why) return why;                      \
        if (!gpu) return INVALID;                 \
    }
#define HOST()                          \
    {                                   \
        int why = enter(__func__, NO_GPU); \
        if (why) return why;            \
    }
#define NEEDS(pointer) if (!(pointer)) return INVALID
#define HAS(field) if (gpu->field == MOST_NONE) return NOT_SUPPORTED

#endif
