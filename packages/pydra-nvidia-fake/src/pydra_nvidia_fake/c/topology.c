/* How GPUs are connected: PCIe, NUMA, NVLink, and the fabric around them. */
#include <stdlib.h>

#include "fake.h"

enum { INTERNAL = 0, HOSTBRIDGE = 30 };

API int nvmlDeviceGetTopologyCommonAncestor(void *handle, void *other, unsigned *level) {
    GPU(handle);
    struct Gpu *peer = gpu_at(other);
    NEEDS(peer && level);
    if (peer->lost) return LOST;
    if (peer == gpu) {
        *level = INTERNAL;
        return OK;
    }
    *level = machine->ancestors[gpu->index][peer->index];
    return OK;
}

API int nvmlDeviceGetTopologyNearestGpus(void *handle, unsigned level, unsigned *count, void **to) {
    GPU(handle);
    NEEDS(count);
    unsigned found = 0;
    for (unsigned i = 0; i < machine->n_gpus; i++) {
        if (i == gpu->index || machine->ancestors[gpu->index][i] > level) continue;
        if (to && found < *count) to[found] = &machine->gpus[i];
        found++;
    }
    *count = found;
    return OK;
}

API int nvmlDeviceGetP2PStatus(void *handle, void *other, unsigned what, unsigned *status) {
    GPU(handle);
    struct Gpu *peer = gpu_at(other);
    NEEDS(peer && status && what <= 4);
    if (peer->lost) return LOST;
    int far = machine->ancestors[gpu->index][peer->index] > HOSTBRIDGE;
    *status = gpu->n_links || !far ? 0 : 3; /* fine, or chipset not supported */
    return OK;
}

static int affinity(struct Gpu *gpu, unsigned size, unsigned long *set, unsigned bits) {
    NEEDS(set && size);
    memset(set, 0, size * sizeof *set);
    unsigned node = gpu->numa == MOST_NONE ? 0 : gpu->numa;
    for (unsigned i = node * bits; i < (node + 1) * bits && i < size * 8 * sizeof *set; i++)
        set[i / (8 * sizeof *set)] |= 1ul << i % (8 * sizeof *set);
    return OK;
}

API int nvmlDeviceGetCpuAffinity(void *handle, unsigned size, unsigned long *set) {
    GPU(handle);
    return affinity(gpu, size, set, 16);
}

API int nvmlDeviceGetCpuAffinityWithinScope(void *handle, unsigned size, unsigned long *set, unsigned scope) {
    GPU(handle);
    return scope > 1 ? INVALID : affinity(gpu, size, set, 16);
}

API int nvmlDeviceGetMemoryAffinity(void *handle, unsigned size, unsigned long *set, unsigned scope) {
    GPU(handle);
    return scope > 1 ? INVALID : affinity(gpu, size, set, 1);
}

#define LINK(handle, number)                          \
    GPU(handle);                                      \
    if (!gpu->n_links) return NOT_SUPPORTED;          \
    if ((number) >= gpu->n_links) return INVALID;     \
    struct Link *link = &gpu->links[number]

API int nvmlDeviceGetNvLinkState(void *handle, unsigned number, unsigned *active) {
    LINK(handle, number);
    NEEDS(active);
    *active = link->active;
    return OK;
}

API int nvmlDeviceGetNvLinkVersion(void *handle, unsigned number, unsigned *version) {
    LINK(handle, number);
    NEEDS(version);
    *version = link->version;
    return OK;
}

API int nvmlDeviceGetNvLinkCapability(void *handle, unsigned number, unsigned what, unsigned *has) {
    LINK(handle, number);
    NEEDS(has && what <= 5);
    *has = link->active && what != 4; /* all but SLI */
    return OK;
}

API int nvmlDeviceGetNvLinkRemoteDeviceType(void *handle, unsigned number, unsigned *kind) {
    LINK(handle, number);
    NEEDS(kind);
    if (!link->active) return NOT_SUPPORTED;
    *kind = link->remote;
    return OK;
}

struct pci {
    char legacy[16];
    unsigned domain, bus, device, pci_device, subsystem;
    char bus_id[32];
};

API int nvmlDeviceGetNvLinkRemotePciInfo_v2(void *handle, unsigned number, struct pci *to) {
    LINK(handle, number);
    NEEDS(to);
    if (!link->active) return NOT_SUPPORTED;
    memset(to, 0, sizeof *to);
    to->domain = link->domain;
    to->bus = link->bus;
    to->device = link->device;
    to->pci_device = link->pci_device;
    bus_id(to->bus_id, sizeof to->bus_id, link->domain, link->bus, link->device);
    return OK;
}

struct fabric {
    unsigned version;
    unsigned char cluster[16];
    unsigned status, clique, state, mask;
    unsigned char summary;
};

API int nvmlDeviceGetGpuFabricInfoV(void *handle, struct fabric *to) {
    GPU(handle);
    NEEDS(to);
    unsigned newest = atoi(machine->driver) < 570 ? 2 : 3;
    unsigned version = to->version >> 24;
    if (version < 2 || version > newest) return WRONG_VERSION;
    HAS(fabric_state);
    memcpy(to->cluster, gpu->fabric_uuid, sizeof to->cluster);
    to->status = gpu->fabric_status;
    to->clique = gpu->fabric_clique;
    to->state = gpu->fabric_state;
    to->mask = gpu->fabric_mask;
    if (version == 3) to->summary = (unsigned char)gpu->fabric_summary;
    return OK;
}
