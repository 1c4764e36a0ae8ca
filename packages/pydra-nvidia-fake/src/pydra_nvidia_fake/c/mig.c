/* Partitions: which there may be, making and destroying GPU instances. */
#include "fake.h"

enum { HALF = 4, WHOLE = 8 };

API int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
    GPU(handle);
    NEEDS(current && pending);
    HAS(mig_current);
    *current = gpu->mig_current;
    *pending = gpu->mig_pending;
    return OK;
}

API int nvmlDeviceSetMigMode(void *handle, unsigned mode, int *activation) {
    GPU(handle);
    NEEDS(activation && mode <= 1);
    HAS(mig_current);
    for (int i = 0; i < MOST_INSTANCES; i++)
        if (gpu->instances[i].used && !mode) return IN_USE;
    *activation = OK;
    gpu->mig_pending = mode;
    if (mode == gpu->mig_current) return OK;
    if (gpu->n_processes) *activation = IN_USE;
    else if (gpu->mig_needs_reset) *activation = RESET_REQUIRED;
    else gpu->mig_current = mode;
    return OK;
}

API int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count) {
    GPU(handle);
    NEEDS(count);
    *count = gpu->mig_current == MOST_NONE ? 0 : gpu->slices;
    return OK;
}

static struct Profile *profile_at(struct Gpu *gpu, unsigned id) {
    for (unsigned i = 0; i < gpu->n_profiles; i++)
        if (gpu->profiles[i].id == id) return &gpu->profiles[i];
    return NULL;
}

struct profile_v1 {
    unsigned id, p2p, slices, most, sm, ce, dec, enc, jpg, ofa;
    unsigned long long memory_mib;
};

struct profile_v2 {
    unsigned version, id, p2p, slices, most, sm, ce, dec, enc, jpg, ofa;
    unsigned long long memory_mib;
    char name[96];
};

static void described(const struct Profile *from, struct profile_v2 *to) {
    *to = (struct profile_v2){to->version, from->id, 0, from->slices, from->most, from->sm, from->ce,
                              from->dec, from->enc, from->jpg, from->ofa, from->memory_mib, ""};
    memcpy(to->name, "MIG ", 4);
    strncpy(to->name + 4, from->name, sizeof to->name - 5);
}

API int nvmlDeviceGetGpuInstanceProfileInfo(void *handle, unsigned number, struct profile_v1 *to) {
    GPU(handle);
    NEEDS(to);
    for (unsigned i = 0; i < gpu->n_profiles; i++) {
        struct Profile *from = &gpu->profiles[i];
        if (from->number != number) continue;
        *to = (struct profile_v1){from->id, 0, from->slices, from->most, from->sm, from->ce,
                                  from->dec, from->enc, from->jpg, from->ofa, from->memory_mib};
        return OK;
    }
    return NOT_SUPPORTED;
}

API int nvmlDeviceGetGpuInstanceProfileInfoV(void *handle, unsigned number, struct profile_v2 *to) {
    GPU(handle);
    NEEDS(to);
    if (to->version != 0x02000098) return WRONG_VERSION;
    for (unsigned i = 0; i < gpu->n_profiles; i++)
        if (gpu->profiles[i].number == number) {
            described(&gpu->profiles[i], to);
            return OK;
        }
    return NOT_SUPPORTED;
}

API int nvmlDeviceGetGpuInstanceProfileInfoByIdV(void *handle, unsigned id, struct profile_v2 *to) {
    GPU(handle);
    NEEDS(to);
    if (to->version != 0x02000098) return WRONG_VERSION;
    struct Profile *profile = profile_at(gpu, id);
    if (!profile) return NOT_SUPPORTED;
    described(profile, to);
    return OK;
}

API int nvmlDeviceGetGpuInstancePossiblePlacements_v2(void *handle, unsigned id, struct Place *to,
                                                      unsigned *count) {
    GPU(handle);
    struct Profile *profile = profile_at(gpu, id);
    NEEDS(count && profile);
    unsigned room = to ? *count : profile->n_starts;
    *count = profile->n_starts;
    if (room < profile->n_starts) return TOO_SMALL;
    for (unsigned i = 0; to && i < profile->n_starts; i++)
        to[i] = (struct Place){profile->starts[i], profile->size};
    return OK;
}

/* What all instances together may have of a thing is what the largest profile has. */
#define FITS(thing)                                                                     \
    {                                                                                   \
        unsigned most = 0, used = wanted->thing;                                        \
        for (unsigned i = 0; i < gpu->n_profiles; i++)                                  \
            if (gpu->profiles[i].thing > most) most = gpu->profiles[i].thing;           \
        for (int i = 0; i < MOST_INSTANCES; i++)                                        \
            if (gpu->instances[i].used) used += gpu->profiles[gpu->instances[i].profile].thing; \
        if (used > most) return 0;                                                      \
    }

static int fits(struct Gpu *gpu, struct Profile *wanted, unsigned start) {
    unsigned same = 0;
    for (int i = 0; i < MOST_INSTANCES; i++) {
        struct GpuInstance *other = &gpu->instances[i];
        if (!other->used) continue;
        if (&gpu->profiles[other->profile] == wanted) same++;
        if (start < other->place.start + other->place.size && other->place.start < start + wanted->size) return 0;
    }
    if (same >= wanted->most) return 0;
    FITS(slices);
    FITS(sm);
    FITS(ce);
    FITS(dec);
    FITS(enc);
    FITS(jpg);
    FITS(ofa);
    return 1;
}

API int nvmlDeviceGetGpuInstanceRemainingCapacity(void *handle, unsigned id, unsigned *count) {
    GPU(handle);
    struct Profile *profile = profile_at(gpu, id);
    NEEDS(count && profile);
    if (gpu->mig_current != 1) return NOT_SUPPORTED;
    *count = 0;
    unsigned end = 0; /* placements are in order, so what ends before this one is free for it */
    for (unsigned i = 0; i < profile->n_starts; i++)
        if (profile->starts[i] >= end && fits(gpu, profile, profile->starts[i])) {
            ++*count;
            end = profile->starts[i] + profile->size;
        }
    if (*count > profile->most) *count = profile->most;
    return OK;
}

/* As real drivers number them; to be taken for opaque. */
static unsigned id_for(const struct Gpu *gpu, unsigned start, unsigned size) {
    if (size == gpu->memory_slices) return 0;
    if (size == HALF) return start ? 1 : 2;
    if (gpu->memory_slices == WHOLE) return size == 2 ? 3 + start / 2 : 7 + start;
    return size == 2 ? 1 + start / 2 : 3 + start;
}

static int create(struct Gpu *gpu, unsigned id, const struct Place *wish, void **to) {
    struct Profile *profile = profile_at(gpu, id);
    NEEDS(to && profile);
    if (gpu->mig_current != 1) return NOT_SUPPORTED;
    int slot = 0, chosen = -1, backwards = profile->size == HALF && profile->n_starts > 1;
    while (slot < MOST_INSTANCES && gpu->instances[slot].used) slot++;
    for (unsigned n = 0; n < profile->n_starts && chosen < 0; n++) {
        unsigned i = backwards ? profile->n_starts - 1 - n : n; /* the far half first, so that 4 slices stay free */
        unsigned start = profile->starts[i];
        if ((!wish || (wish->start == start && wish->size == profile->size)) && fits(gpu, profile, start))
            chosen = (int)start;
    }
    if (chosen < 0 || slot == MOST_INSTANCES) {
        for (unsigned i = 0; wish && i < profile->n_starts; i++)
            if (wish->start == profile->starts[i] && wish->size == profile->size) return NO_ROOM;
        return wish ? INVALID : NO_ROOM;
    }
    struct GpuInstance *made = &gpu->instances[slot];
    *made = (struct GpuInstance){0, gpu->index, id_for(gpu, (unsigned)chosen, profile->size),
                                 (unsigned)(profile - gpu->profiles), {(unsigned)chosen, profile->size}};
    made->used = 1;
    *to = made;
    show_instances(gpu);
    return OK;
}

API int nvmlDeviceCreateGpuInstance(void *handle, unsigned id, void **to) {
    GPU(handle);
    lock();
    int why = create(gpu, id, NULL, to);
    unlock();
    return why;
}

API int nvmlDeviceCreateGpuInstanceWithPlacement(void *handle, unsigned id, const struct Place *place, void **to) {
    GPU(handle);
    NEEDS(place);
    struct Place wish = *place; /* a placement handed over by value ends here */
    lock();
    int why = create(gpu, id, &wish, to);
    unlock();
    return why;
}

API int nvmlDeviceGetGpuInstances(void *handle, unsigned id, void **to, unsigned *count) {
    GPU(handle);
    NEEDS(count && profile_at(gpu, id));
    if (gpu->mig_current != 1) return NOT_SUPPORTED;
    *count = 0;
    for (int i = 0; i < MOST_INSTANCES; i++) {
        struct GpuInstance *one = &gpu->instances[i];
        if (!one->used || gpu->profiles[one->profile].id != id) continue;
        if (to) to[*count] = one;
        ++*count;
    }
    return OK;
}

API int nvmlDeviceGetGpuInstanceById(void *handle, unsigned id, void **to) {
    GPU(handle);
    NEEDS(to);
    if (gpu->mig_current != 1) return NOT_SUPPORTED;
    for (int i = 0; i < MOST_INSTANCES; i++)
        if (gpu->instances[i].used && gpu->instances[i].id == id) {
            *to = &gpu->instances[i];
            return OK;
        }
    return NOT_FOUND;
}

struct instance {
    void *gpu;
    unsigned id, profile;
    struct Place place;
};

API int nvmlGpuInstanceGetInfo(void *handle, struct instance *to) {
    struct GpuInstance *one = instance_at(handle);
    int why = enter(__func__, one ? (int)one->gpu : NO_GPU);
    if (why) return why;
    NEEDS(one && to);
    struct Gpu *gpu = &machine->gpus[one->gpu];
    *to = (struct instance){gpu, one->id, gpu->profiles[one->profile].id, one->place};
    return OK;
}

API int nvmlGpuInstanceDestroy(void *handle) {
    struct GpuInstance *one = instance_at(handle);
    int why = enter(__func__, one ? (int)one->gpu : NO_GPU);
    if (why) return why;
    NEEDS(one);
    struct Gpu *gpu = &machine->gpus[one->gpu];
    lock();
    for (int i = 0; i < MOST_COMPUTES; i++)
        if (gpu->computes[i].used && &gpu->instances[gpu->computes[i].instance] == one) why = IN_USE;
    if (!why) one->used = 0;
    if (!why) show_instances(gpu);
    unlock();
    return why;
}
