/* Compute instances in GPU instances, which programs see as MIG devices, and what the kernel shows of both. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake.h"

static const unsigned SLICES[] = {1, 2, 3, 4, 7, 8, 6};
enum { KINDS = sizeof SLICES / sizeof *SLICES };

#define INSTANCE(handle)                                        \
    struct GpuInstance *in = instance_at(handle);               \
    {                                                           \
        int why = enter(__func__, in ? (int)in->gpu : NO_GPU);  \
        if (why) return why;                                    \
        if (!in) return INVALID;                                \
    }                                                           \
    struct Gpu *gpu = &machine->gpus[in->gpu];                  \
    const struct Profile *whole = &gpu->profiles[in->profile]

/* A quarter of 4 slices cannot be left over by 3. */
static int possible(const struct Profile *whole, unsigned kind) {
    if (kind >= KINDS) return 0;
    unsigned slices = SLICES[kind];
    return slices == whole->slices || (slices < whole->slices && !(slices == 3 && whole->slices == 4));
}

struct profile_v1 {
    unsigned id, slices, most, sm, ce, dec, enc, jpg, ofa;
};

struct profile_v2 {
    unsigned version, id, slices, most, sm, ce, dec, enc, jpg, ofa;
    char name[96];
};

static struct profile_v1 described(const struct Profile *whole, unsigned kind) {
    unsigned slices = SLICES[kind];
    return (struct profile_v1){kind, slices, whole->slices / slices, whole->sm * slices / whole->slices,
                               whole->ce, whole->dec, whole->enc, whole->jpg, whole->ofa};
}

API int nvmlGpuInstanceGetComputeInstanceProfileInfo(void *handle, unsigned kind, unsigned engines,
                                                     struct profile_v1 *to) {
    INSTANCE(handle);
    NEEDS(to && !engines);
    if (!possible(whole, kind)) return NOT_SUPPORTED;
    *to = described(whole, kind);
    return OK;
}

API int nvmlGpuInstanceGetComputeInstanceProfileInfoV(void *handle, unsigned kind, unsigned engines,
                                                      struct profile_v2 *to) {
    INSTANCE(handle);
    NEEDS(to && !engines);
    if (to->version != 0x02000088) return WRONG_VERSION;
    if (!possible(whole, kind)) return NOT_SUPPORTED;
    struct profile_v1 it = described(whole, kind);
    memcpy(&to->id, &it, sizeof it);
    if (it.slices == whole->slices) snprintf(to->name, sizeof to->name, "MIG %.80s", whole->name);
    else snprintf(to->name, sizeof to->name, "MIG %uc.%.80s", it.slices, whole->name);
    return OK;
}

static int is_free(struct Gpu *gpu, struct GpuInstance *in, unsigned start, unsigned size) {
    if (start + size > gpu->profiles[in->profile].slices) return 0;
    for (int i = 0; i < MOST_COMPUTES; i++) {
        struct ComputeInstance *one = &gpu->computes[i];
        if (one->used && &gpu->instances[one->instance] == in && start < one->place.start + one->place.size &&
            one->place.start < start + size)
            return 0;
    }
    return 1;
}

/* Where an instance of so many slices may begin: single slices anywhere, the rest in steps of its size. */
static unsigned step_of(unsigned size) { return size == 3 ? 4 : size; }

API int nvmlGpuInstanceGetComputeInstancePossiblePlacements(void *handle, unsigned kind, struct Place *to,
                                                            unsigned *count) {
    INSTANCE(handle);
    NEEDS(count);
    if (!possible(whole, kind)) return NOT_SUPPORTED;
    unsigned size = SLICES[kind], found = 0, room = to ? *count : MOST_COMPUTES;
    for (unsigned start = 0; start + size <= whole->slices; start += step_of(size), found++)
        if (to && found < room) to[found] = (struct Place){start, size};
    *count = found;
    return found > room ? TOO_SMALL : OK;
}

API int nvmlGpuInstanceGetComputeInstanceRemainingCapacity(void *handle, unsigned kind, unsigned *count) {
    INSTANCE(handle);
    NEEDS(count);
    if (!possible(whole, kind)) return NOT_SUPPORTED;
    unsigned size = SLICES[kind];
    *count = 0;
    for (unsigned start = 0; start + size <= whole->slices; start += step_of(size))
        *count += (unsigned)is_free(gpu, in, start, size);
    return OK;
}

static void name_it(const struct Gpu *gpu, const struct GpuInstance *in, struct ComputeInstance *made) {
    unsigned long long hash[2] = {14695981039346656037ull, 1099511628211ull};
    char seed[2 * MOST_TEXT];
    snprintf(seed, sizeof seed, "%s/%u/%u", gpu->uuid, in->id, made->id);
    for (const char *c = seed; *c; c++)
        for (int half = 0; half < 2; half++) hash[half] = (hash[half] ^ (unsigned char)*c) * 1099511628211ull;
    snprintf(made->uuid, sizeof made->uuid, "MIG-%08llx-%04llx-5%03llx-a%03llx-%012llx", hash[0] >> 32,
             hash[0] >> 16 & 0xffff, hash[0] & 0xfff, hash[1] >> 48 & 0xfff, hash[1] & 0xffffffffffffull);
}

static unsigned free_id(const struct Gpu *gpu, unsigned instance) {
    for (unsigned id = 0;; id++) {
        int taken = 0;
        for (int i = 0; i < MOST_COMPUTES; i++)
            taken |= gpu->computes[i].used && gpu->computes[i].instance == instance && gpu->computes[i].id == id;
        if (!taken) return id;
    }
}

static int create(struct Gpu *gpu, struct GpuInstance *in, unsigned kind, const struct Place *wish, void **to) {
    NEEDS(to);
    if (!possible(&gpu->profiles[in->profile], kind)) return kind < KINDS ? NOT_SUPPORTED : INVALID;
    unsigned size = SLICES[kind], start = wish ? wish->start : 0;
    if (wish && (wish->size != size || wish->start % step_of(size))) return INVALID;
    while (!wish && start < 8 && !is_free(gpu, in, start, size)) start += step_of(size);
    if (!is_free(gpu, in, start, size)) return NO_ROOM;
    int slot = 0;
    while (slot < MOST_COMPUTES && gpu->computes[slot].used) slot++;
    if (slot == MOST_COMPUTES) return NO_ROOM;
    struct ComputeInstance *made = &gpu->computes[slot];
    unsigned instance = (unsigned)(in - gpu->instances);
    *made = (struct ComputeInstance){0, gpu->index, instance, free_id(gpu, instance), {start, size}, ""};
    name_it(gpu, in, made);
    made->used = 1;
    *to = made;
    show_instances(gpu);
    return OK;
}

API int nvmlGpuInstanceCreateComputeInstance(void *handle, unsigned kind, void **to) {
    INSTANCE(handle);
    (void)whole;
    lock();
    int why = create(gpu, in, kind, NULL, to);
    unlock();
    return why;
}

API int nvmlGpuInstanceCreateComputeInstanceWithPlacement(void *handle, unsigned kind, const struct Place *place,
                                                          void **to) {
    INSTANCE(handle);
    (void)whole;
    NEEDS(place);
    struct Place wish = *place;
    lock();
    int why = create(gpu, in, kind, &wish, to);
    unlock();
    return why;
}

#define EACH(one)                                                                        \
    for (struct ComputeInstance *one = gpu->computes; one < gpu->computes + MOST_COMPUTES; one++) \
        if (one->used && &gpu->instances[one->instance] == in)

API int nvmlGpuInstanceGetComputeInstances(void *handle, unsigned kind, void **to, unsigned *count) {
    INSTANCE(handle);
    NEEDS(count);
    if (!possible(whole, kind)) return NOT_SUPPORTED;
    *count = 0;
    EACH(one) {
        if (one->place.size != SLICES[kind]) continue;
        if (to) to[*count] = one;
        ++*count;
    }
    return OK;
}

API int nvmlGpuInstanceGetComputeInstanceById(void *handle, unsigned id, void **to) {
    INSTANCE(handle);
    (void)whole;
    NEEDS(to);
    EACH(one) if (one->id == id) {
        *to = one;
        return OK;
    }
    return NOT_FOUND;
}

#define COMPUTE(handle)                                             \
    struct ComputeInstance *one = compute_at(handle);               \
    {                                                               \
        int why = enter(__func__, one ? (int)one->gpu : NO_GPU);    \
        if (why) return why;                                        \
        if (!one) return INVALID;                                   \
    }                                                               \
    struct Gpu *gpu = &machine->gpus[one->gpu];                     \
    struct GpuInstance *in = &gpu->instances[one->instance]

static unsigned kind_of(unsigned slices) {
    unsigned kind = 0;
    while (SLICES[kind] != slices) kind++;
    return kind;
}

struct instance {
    void *gpu, *gpu_instance;
    unsigned id, profile;
    struct Place place;
};

API int nvmlComputeInstanceGetInfo_v2(void *handle, struct instance *to) {
    COMPUTE(handle);
    NEEDS(to);
    *to = (struct instance){gpu, in, one->id, kind_of(one->place.size), one->place};
    return OK;
}

API int nvmlComputeInstanceDestroy(void *handle) {
    COMPUTE(handle);
    for (unsigned i = 0; i < gpu->n_processes; i++)
        if (gpu->processes[i].gpu_instance == in->id && gpu->processes[i].compute_instance == one->id) return IN_USE;
    lock();
    one->used = 0;
    show_instances(gpu);
    unlock();
    return OK;
}

API int nvmlDeviceIsMigDeviceHandle(void *handle, unsigned *is) {
    HOST();
    NEEDS(is && (gpu_at(handle) || compute_at(handle)));
    *is = compute_at(handle) != NULL;
    return OK;
}

API int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **to) {
    GPU(handle);
    NEEDS(to);
    if (gpu->mig_current != 1) return NOT_FOUND;
    if (index >= gpu->slices) return INVALID;
    for (int i = 0; i < MOST_COMPUTES; i++)
        if (gpu->computes[i].used && !index--) {
            *to = &gpu->computes[i];
            return OK;
        }
    return NOT_FOUND;
}

API int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *handle, void **to) {
    COMPUTE(handle);
    (void)in;
    NEEDS(to);
    *to = gpu;
    return OK;
}

API int nvmlDeviceGetGpuInstanceId(void *handle, unsigned *id) {
    COMPUTE(handle);
    (void)gpu;
    NEEDS(id);
    *id = in->id;
    return OK;
}

API int nvmlDeviceGetComputeInstanceId(void *handle, unsigned *id) {
    COMPUTE(handle);
    (void)in;
    NEEDS(id);
    *id = one->id;
    return OK;
}

struct attributes {
    unsigned sm, ce, dec, enc, jpg, ofa, gpu_slices, compute_slices;
    unsigned long long memory_mib;
};

API int nvmlDeviceGetAttributes_v2(void *handle, struct attributes *to) {
    COMPUTE(handle);
    NEEDS(to);
    const struct Profile *whole = &gpu->profiles[in->profile];
    *to = (struct attributes){whole->sm * one->place.size / whole->slices, whole->ce, whole->dec, whole->enc,
                              whole->jpg, whole->ofa, whole->slices, one->place.size, whole->memory_mib};
    return OK;
}
