/* Which GPUs there are, and what each is. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "fake.h"

#define WITHIN(handle, array, most) \
    ((const char *)(handle) >= (const char *)(array) && \
     (const char *)(handle) < (const char *)((array) + (most)))

struct Gpu *gpu_at(const void *handle) {
    if (!machine) return NULL;
    for (unsigned i = 0; i < machine->n_gpus; i++)
        if (handle == &machine->gpus[i]) return &machine->gpus[i];
    return NULL;
}

static struct Gpu *around(const void *handle) {
    if (!machine || !WITHIN(handle, machine->gpus, MOST_GPUS)) return NULL;
    return &machine->gpus[((const char *)handle - (const char *)machine->gpus) / sizeof(struct Gpu)];
}

struct GpuInstance *instance_at(const void *handle) {
    struct Gpu *gpu = around(handle);
    for (int i = 0; gpu && i < MOST_INSTANCES; i++)
        if (handle == &gpu->instances[i] && gpu->instances[i].used) return &gpu->instances[i];
    return NULL;
}

struct ComputeInstance *compute_at(const void *handle) {
    struct Gpu *gpu = around(handle);
    for (int i = 0; gpu && i < MOST_COMPUTES; i++)
        if (handle == &gpu->computes[i] && gpu->computes[i].used) return &gpu->computes[i];
    return NULL;
}

API int nvmlDeviceGetCount_v2(unsigned *count) {
    HOST();
    NEEDS(count);
    *count = machine->n_gpus;
    return OK;
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    NEEDS(handle);
    int why = enter(__func__, machine && index < machine->n_gpus ? (int)index : NO_GPU);
    if (why) return why;
    if (index >= machine->n_gpus) return INVALID;
    *handle = &machine->gpus[index];
    return OK;
}

static int named(const char *symbol, const char *uuid, void **handle) {
    int why = enter(symbol, NO_GPU);
    if (why) return why;
    for (unsigned i = 0; i < machine->n_gpus; i++) {
        struct Gpu *gpu = &machine->gpus[i];
        if (!strcmp(gpu->uuid, uuid)) {
            *handle = gpu;
            return enter(symbol, (int)i);
        }
        for (int j = 0; j < MOST_COMPUTES; j++)
            if (gpu->computes[j].used && !strcmp(gpu->computes[j].uuid, uuid)) {
                *handle = &gpu->computes[j];
                return enter(symbol, (int)i);
            }
    }
    return NOT_FOUND;
}

API int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    NEEDS(uuid && handle);
    return named(__func__, uuid, handle);
}

struct any_uuid {
    unsigned version, type;
    char text[41];
};

API int nvmlDeviceGetHandleByUUIDV(const struct any_uuid *uuid, void **handle) {
    NEEDS(uuid && handle);
    if (uuid->version >> 24 != 1) return WRONG_VERSION;
    if (uuid->type != 1) return NOT_SUPPORTED;
    return named(__func__, uuid->text, handle);
}

API int nvmlDeviceGetHandleByPciBusId_v2(const char *wanted, void **handle) {
    HOST();
    NEEDS(wanted && handle);
    unsigned domain = 0, bus, device, function;
    if (sscanf(wanted, "%x:%x:%x.%x", &domain, &bus, &device, &function) != 4 &&
        sscanf(wanted, "%x:%x.%x", &bus, &device, &function) != 3)
        return INVALID;
    for (unsigned i = 0; i < machine->n_gpus; i++) {
        struct Gpu *gpu = &machine->gpus[i];
        if (gpu->domain == domain && gpu->bus == bus && gpu->device == device) {
            *handle = gpu;
            return enter(__func__, (int)i);
        }
    }
    return NOT_FOUND;
}

API int nvmlDeviceGetHandleBySerial(const char *serial, void **handle) {
    HOST();
    NEEDS(serial && handle);
    for (unsigned i = 0; i < machine->n_gpus; i++)
        if (machine->gpus[i].serial[0] && !strcmp(machine->gpus[i].serial, serial)) {
            *handle = &machine->gpus[i];
            return enter(__func__, (int)i);
        }
    return NOT_FOUND;
}

#define NUMBER(symbol, field)                \
    API int symbol(void *handle, unsigned *to) { \
        GPU(handle);                         \
        NEEDS(to);                           \
        HAS(field);                          \
        *to = gpu->field;                    \
        return OK;                           \
    }
#define WORDS(symbol, field)                             \
    API int symbol(void *handle, char *to, unsigned size) { \
        GPU(handle);                                     \
        return gpu->field[0] ? text(to, size, gpu->field) : NOT_SUPPORTED; \
    }

NUMBER(nvmlDeviceGetIndex, index)
NUMBER(nvmlDeviceGetMinorNumber, minor)
NUMBER(nvmlDeviceGetBrand, brand)
NUMBER(nvmlDeviceGetArchitecture, architecture)
NUMBER(nvmlDeviceGetModuleId, module_id)
NUMBER(nvmlDeviceGetVirtualizationMode, virtualization)
NUMBER(nvmlDeviceGetPersistenceMode, persistence)
NUMBER(nvmlDeviceGetComputeMode, compute_mode)
NUMBER(nvmlDeviceGetPowerManagementLimit, power_limit)
NUMBER(nvmlDeviceGetEnforcedPowerLimit, power_limit)
WORDS(nvmlDeviceGetSerial, serial)
WORDS(nvmlDeviceGetVbiosVersion, vbios)
WORDS(nvmlDeviceGetBoardPartNumber, board_part)

API int nvmlDeviceGetUUID(void *handle, char *to, unsigned size) {
    struct ComputeInstance *compute = compute_at(handle);
    if (compute) {
        int why = enter(__func__, (int)compute->gpu);
        return why ? why : text(to, size, compute->uuid);
    }
    GPU(handle);
    return text(to, size, gpu->uuid);
}

API int nvmlDeviceGetName(void *handle, char *to, unsigned size) {
    struct ComputeInstance *compute = compute_at(handle);
    if (compute) {
        struct Gpu *gpu = &machine->gpus[compute->gpu];
        int why = enter(__func__, (int)compute->gpu);
        if (why) return why;
        char both[2 * MOST_TEXT + 2];
        const struct Profile *whole = &gpu->profiles[gpu->instances[compute->instance].profile];
        char part[16] = "";
        if (compute->place.size < whole->slices) snprintf(part, sizeof part, "%uc.", compute->place.size);
        snprintf(both, sizeof both, "%.90s MIG %s%.80s", gpu->name, part, whole->name);
        return text(to, size, both);
    }
    GPU(handle);
    return text(to, size, gpu->name);
}

/* CUDA cores of one multiprocessor: 64 up to Ampere's data centre chip, 128 in all others since. */
static unsigned cores_of_one(const struct Gpu *gpu) {
    return gpu->cc_major < 8 || (gpu->cc_major == 8 && gpu->cc_minor == 0) ? 64 : 128;
}

API int nvmlDeviceGetNumGpuCores(void *handle, unsigned *to) {
    GPU(handle);
    NEEDS(to);
    *to = gpu->sm * cores_of_one(gpu);
    return OK;
}

API int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
    GPU(handle);
    NEEDS(major && minor);
    *major = (int)gpu->cc_major;
    *minor = (int)gpu->cc_minor;
    return OK;
}

struct pci {
    char legacy[16];
    unsigned domain, bus, device, pci_device, subsystem;
    char bus_id[32];
};

API int nvmlDeviceGetPciInfo_v3(void *handle, struct pci *to) {
    GPU(handle);
    NEEDS(to);
    memset(to, 0, sizeof *to);
    snprintf(to->legacy, sizeof to->legacy, "%04X:%02X:%02X.0", gpu->domain & 0xffff,
             gpu->bus & 0xff, gpu->device & 0xff);
    bus_id(to->bus_id, sizeof to->bus_id, gpu->domain, gpu->bus, gpu->device);
    to->domain = gpu->domain;
    to->bus = gpu->bus;
    to->device = gpu->device;
    to->pci_device = gpu->pci_device;
    to->subsystem = gpu->pci_subsystem;
    return OK;
}

struct memory {
    unsigned long long total, free, used;
};

struct memory_v2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

static unsigned long long total_of(void *handle, struct Gpu **gpu) {
    struct ComputeInstance *compute = compute_at(handle);
    *gpu = compute ? &machine->gpus[compute->gpu] : gpu_at(handle);
    if (!compute) return *gpu ? (*gpu)->memory_total : 0;
    return (*gpu)->profiles[(*gpu)->instances[compute->instance].profile].memory_mib << 20;
}

API int nvmlDeviceGetMemoryInfo(void *handle, struct memory *to) {
    struct Gpu *gpu;
    unsigned long long total = total_of(handle, &gpu);
    int why = enter(__func__, gpu ? (int)gpu->index : NO_GPU);
    if (why) return why;
    NEEDS(gpu && to);
    to->total = total;
    to->used = gpu->memory_used + gpu->memory_reserved; /* the old structure counts what is reserved as used */
    to->free = total > to->used ? total - to->used : 0;
    return OK;
}

API int nvmlDeviceGetMemoryInfo_v2(void *handle, struct memory_v2 *to) {
    struct Gpu *gpu;
    unsigned long long total = total_of(handle, &gpu);
    int why = enter(__func__, gpu ? (int)gpu->index : NO_GPU);
    if (why) return why;
    NEEDS(gpu && to);
    if (to->version != 0x02000028) return WRONG_VERSION;
    to->total = total;
    to->reserved = gpu_at(handle) ? gpu->memory_reserved : 0;
    to->used = gpu->memory_used;
    to->free = total > to->used + to->reserved ? total - to->used - to->reserved : 0;
    return OK;
}

API int nvmlDeviceGetBAR1MemoryInfo(void *handle, struct memory *to) {
    GPU(handle);
    NEEDS(to);
    to->total = to->free = gpu->bar1_total;
    to->used = 0;
    return OK;
}

struct versioned {
    unsigned version, value;
};

API int nvmlDeviceGetAddressingMode(void *handle, struct versioned *to) {
    GPU(handle);
    NEEDS(to);
    HAS(addressing);
    if (to->version >> 24 != 1) return WRONG_VERSION;
    to->value = gpu->addressing;
    return OK;
}

API int nvmlDeviceGetNumaNodeId(void *handle, unsigned *to) {
    GPU(handle);
    NEEDS(to);
    if (gpu->addressing != 2) return NOT_SUPPORTED; /* that of its own memory, on coherent machines only */
    *to = gpu->numa;
    return OK;
}

struct platform {
    unsigned version;
    unsigned char ib_guid[16], chassis[16], slot, tray, host, peer, module;
};

API int nvmlDeviceGetPlatformInfo(void *handle, struct platform *to) {
    GPU(handle);
    NEEDS(to);
    if (to->version >> 24 != 1 && to->version >> 24 != 2) return WRONG_VERSION;
    if (gpu->fabric_state != 3 || !gpu->fabric_uuid[0]) return NOT_SUPPORTED;
    memcpy(to->ib_guid, "\x12\x00\x34", 3); /* a zero in it, where careless readers stop */
    memcpy(to->chassis, "CHASSIS0001", 12);
    to->slot = 1;
    to->tray = 4;
    to->host = 1;
    to->peer = 1;
    to->module = (unsigned char)gpu->module_id;
    return OK;
}

API int nvmlDeviceGetGspFirmwareVersion(void *handle, char *to) {
    GPU(handle);
    return text(to, 64, machine->gsp);
}

API int nvmlDeviceSetPersistenceMode(void *handle, unsigned mode) {
    GPU(handle);
    if (mode > 1) return INVALID;
    gpu->persistence = mode;
    return OK;
}

API int nvmlDeviceSetComputeMode(void *handle, unsigned mode) {
    GPU(handle);
    HAS(compute_mode);
    if (mode > 3 || mode == 1) return mode > 3 ? INVALID : NOT_SUPPORTED;
    gpu->compute_mode = mode;
    return OK;
}

struct process {
    unsigned pid;
    unsigned long long memory;
    unsigned gpu_instance, compute_instance;
};

static int processes(const char *symbol, void *handle, unsigned kind, unsigned *count, struct process *to) {
    struct Gpu *gpu = gpu_at(handle);
    int why = enter(symbol, gpu ? (int)gpu->index : NO_GPU);
    if (why) return why;
    NEEDS(gpu && count);
    unsigned found = 0, room = to ? *count : 0;
    for (unsigned i = 0; i < gpu->n_processes; i++) {
        struct Process *p = &gpu->processes[i];
        if (p->kind != kind) continue;
        if (found < room) to[found] = (struct process){p->pid, 1 << 20, p->gpu_instance, p->compute_instance};
        found++;
    }
    *count = found;
    return found > room ? TOO_SMALL : OK;
}

API int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, struct process *to) {
    return processes(__func__, handle, 0, count, to);
}

API int nvmlDeviceGetGraphicsRunningProcesses_v3(void *handle, unsigned *count, struct process *to) {
    return processes(__func__, handle, 1, count, to);
}

API int nvmlDeviceGetMPSComputeRunningProcesses_v3(void *handle, unsigned *count, struct process *to) {
    return processes(__func__, handle, 2, count, to);
}
