/* What a GPU counts and says of its health. */
#include "fake.h"

enum { VOLATILE, AGGREGATE };
enum { CORRECTED, UNCORRECTED };
enum { BY_SINGLE, BY_DOUBLE };

API int nvmlDeviceGetEccMode(void *handle, unsigned *current, unsigned *pending) {
    GPU(handle);
    NEEDS(current && pending);
    HAS(ecc_current);
    *current = gpu->ecc_current;
    *pending = gpu->ecc_pending;
    return OK;
}

API int nvmlDeviceSetEccMode(void *handle, unsigned mode) {
    GPU(handle);
    HAS(ecc_current);
    if (mode > 1) return INVALID;
    gpu->ecc_pending = mode;
    return OK;
}

static int errors(struct Gpu *gpu, unsigned type, unsigned counter, unsigned long long *to) {
    NEEDS(to && type <= UNCORRECTED && counter <= AGGREGATE);
    HAS(ecc_current);
    if (!gpu->ecc_current) return NOT_SUPPORTED;
    if (counter == VOLATILE) *to = type == CORRECTED ? gpu->ecc_corr_volatile : gpu->ecc_unc_volatile;
    else *to = type == CORRECTED ? gpu->ecc_corr_aggregate : gpu->ecc_unc_aggregate;
    return OK;
}

API int nvmlDeviceGetTotalEccErrors(void *handle, unsigned type, unsigned counter, unsigned long long *to) {
    GPU(handle);
    return errors(gpu, type, counter, to);
}

API int nvmlDeviceGetMemoryErrorCounter(void *handle, unsigned type, unsigned counter, unsigned where,
                                        unsigned long long *to) {
    GPU(handle);
    return where == 2 ? errors(gpu, type, counter, to) : NOT_SUPPORTED; /* counted in device memory only */
}

API int nvmlDeviceGetRemappedRows(void *handle, unsigned *corrected, unsigned *uncorrected, unsigned *pending,
                                  unsigned *failed) {
    GPU(handle);
    NEEDS(corrected && uncorrected && pending && failed);
    if (gpu->row_remaps != 1) return NOT_SUPPORTED;
    *corrected = gpu->remapped_corr;
    *uncorrected = gpu->remapped_unc;
    *pending = gpu->remap_pending;
    *failed = gpu->remap_failed;
    return OK;
}

struct remapped {
    unsigned corrected, corrected_inactive, uncorrected, uncorrected_inactive, pending, failed;
};

API int nvmlDeviceGetRemappedRows_v2(void *handle, struct remapped *to) {
    GPU(handle);
    NEEDS(to);
    if (gpu->row_remaps != 1) return NOT_SUPPORTED;
    *to = (struct remapped){gpu->remapped_corr, 0, gpu->remapped_unc, 0, gpu->remap_pending, gpu->remap_failed};
    return OK;
}

API int nvmlDeviceGetRowRemapperHistogram(void *handle, unsigned to[5]) {
    GPU(handle);
    NEEDS(to);
    if (gpu->row_remaps != 1) return NOT_SUPPORTED;
    unsigned used = gpu->remapped_corr + gpu->remapped_unc;
    to[0] = used ? 639 : 640; /* banks with every spare row left */
    to[1] = used && !gpu->remap_failed;
    to[2] = to[3] = 0;
    to[4] = gpu->remap_failed;
    return OK;
}

static int pages(const char *symbol, void *handle, unsigned cause, unsigned *count, unsigned long long *to,
                 unsigned long long *times) {
    struct Gpu *gpu = gpu_at(handle);
    int why = enter(symbol, gpu ? (int)gpu->index : NO_GPU);
    if (why) return why;
    NEEDS(gpu && count && cause <= BY_DOUBLE);
    if (gpu->retires != 1) return NOT_SUPPORTED;
    unsigned found = cause == BY_DOUBLE ? gpu->retired_dbe : gpu->retired_sbe;
    unsigned room = to ? *count : 0;
    *count = found;
    if (found > room) return TOO_SMALL;
    for (unsigned i = 0; i < found; i++) {
        to[i] = 0x10000ull * (i + 1) + cause;
        if (times) times[i] = 1700000000ull + i;
    }
    return OK;
}

API int nvmlDeviceGetRetiredPages(void *handle, unsigned cause, unsigned *count, unsigned long long *to) {
    return pages(__func__, handle, cause, count, to, NULL);
}

API int nvmlDeviceGetRetiredPages_v2(void *handle, unsigned cause, unsigned *count, unsigned long long *to,
                                     unsigned long long *times) {
    return pages(__func__, handle, cause, count, to, times);
}

API int nvmlDeviceGetRetiredPagesPendingStatus(void *handle, unsigned *pending) {
    GPU(handle);
    NEEDS(pending);
    if (gpu->retires != 1) return NOT_SUPPORTED;
    *pending = gpu->retire_pending;
    return OK;
}

struct repair {
    unsigned version, channel, tpc;
};

API int nvmlDeviceGetRepairStatus(void *handle, struct repair *to) {
    GPU(handle);
    NEEDS(to);
    HAS(repair_channel);
    if (to->version >> 24 != 1) return WRONG_VERSION;
    to->channel = gpu->repair_channel;
    to->tpc = gpu->repair_tpc;
    return OK;
}

API int nvmlDeviceGetTemperature(void *handle, unsigned sensor, unsigned *to) {
    GPU(handle);
    NEEDS(to && sensor == 0);
    HAS(temperature);
    *to = gpu->temperature;
    return OK;
}

API int nvmlDeviceGetTemperatureThreshold(void *handle, unsigned kind, unsigned *to) {
    GPU(handle);
    NEEDS(to);
    if (kind > 1) return NOT_SUPPORTED;
    HAS(slowdown_at);
    *to = kind ? gpu->slowdown_at : gpu->shutdown_at;
    return OK;
}

API int nvmlDeviceGetCurrentClocksEventReasons(void *handle, unsigned long long *to) {
    GPU(handle);
    NEEDS(to);
    HAS(slowdowns);
    *to = gpu->slowdowns;
    return OK;
}

API int nvmlDeviceGetCurrentClocksThrottleReasons(void *handle, unsigned long long *to) {
    GPU(handle);
    NEEDS(to);
    HAS(slowdowns);
    *to = gpu->slowdowns;
    return OK;
}

struct field {
    unsigned id, scope;
    long long when, took;
    unsigned type;
    int status;
    unsigned long long value;
};

static unsigned field_of(struct Gpu *gpu, unsigned id) {
    switch (id) {
    case 29: return gpu->retires == 1 ? gpu->retired_sbe : MOST_NONE;
    case 30: return gpu->retires == 1 ? gpu->retired_dbe : MOST_NONE;
    case 31: return gpu->retires == 1 ? gpu->retire_pending : MOST_NONE;
    case 91: return gpu->n_links;
    case 142: return gpu->row_remaps == 1 ? gpu->remapped_corr : MOST_NONE;
    case 143: return gpu->row_remaps == 1 ? gpu->remapped_unc : MOST_NONE;
    case 144: return gpu->row_remaps == 1 ? gpu->remap_pending : MOST_NONE;
    case 145: return gpu->row_remaps == 1 ? gpu->remap_failed : MOST_NONE;
    case 230: return gpu->recovery;
    default: return MOST_NONE;
    }
}

API int nvmlDeviceGetFieldValues(void *handle, int count, struct field *fields) {
    GPU(handle);
    NEEDS(fields && count > 0);
    for (int i = 0; i < count; i++) {
        unsigned value = field_of(gpu, fields[i].id);
        fields[i].type = 1;
        fields[i].status = value == MOST_NONE ? NOT_SUPPORTED : OK;
        fields[i].value = value == MOST_NONE ? 0 : value;
    }
    return OK;
}
