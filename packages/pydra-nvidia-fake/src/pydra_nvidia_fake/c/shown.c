/* What the kernel module shows of partitions below /proc: one file for each, with the minor number of its device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake.h"

enum { FIRST = 3, A_GPU = 135, AN_INSTANCE = 9, MOST_IDS = 15 };

static unsigned minor_of(unsigned gpu, unsigned id) { return FIRST + A_GPU * gpu + AN_INSTANCE * id; }

static void show(const char *folder, unsigned minor) {
    char path[MOST_PATH + 64];
    mkdir(folder, 0755);
    snprintf(path, sizeof path, "%s/access", folder);
    FILE *out = fopen(path, "w");
    if (!out) return;
    fprintf(out, "DeviceFileMinor: %u\nDeviceFileMode: 256\nDeviceFileModify: 1\n", minor);
    fclose(out);
}

static void hide(const char *folder) {
    char path[MOST_PATH + 64];
    snprintf(path, sizeof path, "%s/access", folder);
    unlink(path);
    rmdir(folder);
}

static const struct GpuInstance *find(const struct Gpu *gpu, unsigned id) {
    for (int i = 0; i < MOST_INSTANCES; i++)
        if (gpu->instances[i].used && gpu->instances[i].id == id) return &gpu->instances[i];
    return NULL;
}

static int has(const struct Gpu *gpu, const struct GpuInstance *in, unsigned id) {
    for (int i = 0; in && i < MOST_COMPUTES; i++)
        if (gpu->computes[i].used && &gpu->instances[gpu->computes[i].instance] == in && gpu->computes[i].id == id)
            return 1;
    return 0;
}

void show_instances(const struct Gpu *gpu) {
    char folder[MOST_PATH + 32], inner[MOST_PATH + 48];
    if (!machine->proc[0]) return;
    for (unsigned id = 0; id < MOST_IDS; id++) {
        const struct GpuInstance *in = find(gpu, id);
        snprintf(folder, sizeof folder, "%s/gpu%u/mig/gi%u", machine->proc, gpu->minor, id);
        if (in) show(folder, minor_of(gpu->minor, id));
        for (unsigned compute = 0; compute < 8; compute++) {
            snprintf(inner, sizeof inner, "%s/ci%u", folder, compute);
            if (has(gpu, in, compute)) show(inner, minor_of(gpu->minor, id) + 1 + compute);
            else hide(inner);
        }
        if (!in) hide(folder);
    }
}
