/* What GPUs report by themselves. An event set remembers how far into the machine's ring of events it has read. */
#include <stdlib.h>
#include <time.h>

#include "fake.h"

struct set {
    unsigned long long next, types[MOST_GPUS];
};

struct data {
    void *gpu;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
};

API int nvmlEventSetCreate(struct set **to) {
    HOST();
    NEEDS(to);
    *to = calloc(1, sizeof **to);
    if (!*to) return 20;
    (*to)->next = machine->n_events;
    return OK;
}

API int nvmlEventSetFree(struct set *set) {
    HOST();
    NEEDS(set);
    free(set);
    return OK;
}

API int nvmlDeviceGetSupportedEventTypes(void *handle, unsigned long long *to) {
    GPU(handle);
    NEEDS(to);
    *to = gpu->events_supported;
    return OK;
}

API int nvmlDeviceRegisterEvents(void *handle, unsigned long long types, struct set *set) {
    GPU(handle);
    NEEDS(set);
    if (types & ~gpu->events_supported) return NOT_SUPPORTED;
    set->types[gpu->index] |= types;
    return OK;
}

static int any_lost(const struct set *set) {
    for (unsigned i = 0; i < machine->n_gpus; i++)
        if (set->types[i] && machine->gpus[i].lost) return 1;
    return 0;
}

static int next(struct set *set, struct data *to) {
    if (machine->n_events > set->next + MOST_EVENTS) set->next = machine->n_events - MOST_EVENTS;
    while (set->next < __atomic_load_n(&machine->n_events, __ATOMIC_ACQUIRE)) {
        struct Event *event = &machine->events[set->next++ % MOST_EVENTS];
        if (event->gpu >= machine->n_gpus || !(set->types[event->gpu] & event->type)) continue;
        *to = (struct data){&machine->gpus[event->gpu], event->type, event->data, event->gpu_instance,
                            event->compute_instance};
        return 1;
    }
    return 0;
}

API int nvmlEventSetWait_v2(struct set *set, struct data *to, unsigned milliseconds) {
    struct timespec now, rest = {0, 5000000};
    HOST();
    NEEDS(set && to);
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long end = now.tv_sec * 1000ll + now.tv_nsec / 1000000 + milliseconds;
    for (;;) {
        if (next(set, to)) return OK;
        if (any_lost(set)) return LOST; /* and does not say which */
        int why = enter(__func__, NO_GPU);
        if (why) return why;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec * 1000ll + now.tv_nsec / 1000000 >= end) return TIMEOUT;
        nanosleep(&rest, NULL);
    }
}
