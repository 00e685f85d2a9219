// NCCL without a GPU, for tests: libnccl.so.2 with the functions that factorseg-network calls, for processes of one machine.
//
// Device memory is host memory (libcuda.cpp). A sum goes through memory that the processes share, piece by piece: each puts its
// values there, all wait for each other, each adds all up in the order of ranks. It is done when the group ends, whatever the
// stream. What NCCL would get stuck over (sums of different lengths, outside of a group) is told and fails.
//
// Environment:
//   FAKENCCL_FAIL  "NAME:N": the N-th call (from 1) of a function and all that follow fail
//   FAKECUDA_LOG   file to append a line for each sum to
//
// Build: g++ -O2 -shared -fPIC -o libnccl.so.2 libnccl.cpp
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <map>
#include <sched.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

typedef int ncclResult_t;
enum { SUCCESS = 0, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4, INVALID_USAGE = 5 };
enum { FLOAT32 = 7, SUM = 0 };
struct ncclUniqueId { char internal[128]; };

const int MOST_RANKS = 8;
const size_t PIECE = 1 << 16;

struct Shared {
    std::atomic<int> arrived, rounds;
    size_t counts[MOST_RANKS];
    float values[MOST_RANKS][PIECE];
};

struct ncclComm {
    Shared *shared;
    int rank, ranks;

    void wait() {
        int round = shared->rounds;
        if (shared->arrived.fetch_add(1) + 1 == ranks) {
            shared->arrived = 0;
            shared->rounds++;
        } else {
            while (shared->rounds == round) sched_yield();
        }
    }
};
typedef ncclComm *ncclComm_t;

struct Call {
    const float *from;
    float *to;
    size_t count;
    ncclComm_t communicator;
};

static std::vector<Call> calls;
static bool grouped = false;

static bool fails(const char *name) {
    static std::map<std::string, long> made;
    const char *wish = getenv("FAKENCCL_FAIL"), *colon = wish ? strchr(wish, ':') : nullptr;
    return colon && std::string(wish, colon) == name && ++made[name] >= atol(colon + 1);
}
#define ENTER if (fails(__func__)) return SYSTEM_ERROR;
#define COMPLAIN(code, ...) do { fprintf(stderr, "fakenccl: " __VA_ARGS__); fputc('\n', stderr); return code; } while (0)

static Shared *map(const char *name, int flags) {
    int file = shm_open(name, O_RDWR | flags, 0600);
    if (file < 0 || ftruncate(file, sizeof(Shared))) return nullptr;
    void *at = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return at == MAP_FAILED ? nullptr : (Shared *)at;
}

static ncclResult_t sum(const Call &call) {
    ncclComm &group = *call.communicator;
    group.shared->counts[group.rank] = call.count;
    group.wait();
    for (int rank = 0; rank < group.ranks; rank++)
        if (group.shared->counts[rank] != call.count)
            COMPLAIN(INVALID_USAGE, "rank %d sums %zu values, rank %d %zu", group.rank, call.count, rank, group.shared->counts[rank]);
    for (size_t start = 0; start < call.count; start += PIECE) {
        size_t length = call.count - start < PIECE ? call.count - start : PIECE;
        memcpy(group.shared->values[group.rank], call.from + start, length * sizeof(float));
        group.wait();
        for (size_t i = 0; i < length; i++) {
            float all = group.shared->values[0][i];
            for (int rank = 1; rank < group.ranks; rank++) all += group.shared->values[rank][i];
            call.to[start + i] = all;
        }
        group.wait();
    }
    return SUCCESS;
}

extern "C" {

const char *ncclGetErrorString(ncclResult_t result) {
    return result == SUCCESS ? "no error" : result == SYSTEM_ERROR ? "unhandled system error" : "invalid usage";
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    ENTER
    snprintf(id->internal, sizeof id->internal, "/fakenccl-%d-%ld", getpid(), (long)time(nullptr));
    return map(id->internal, O_CREAT | O_EXCL) ? SUCCESS : SYSTEM_ERROR;
}

ncclResult_t ncclCommInitRank(ncclComm_t *made, int ranks, ncclUniqueId id, int rank) {
    ENTER
    if (ranks > MOST_RANKS || rank < 0 || rank >= ranks) COMPLAIN(INVALID_ARGUMENT, "rank %d of %d", rank, ranks);
    Shared *shared = map(id.internal, 0);
    if (!shared) return SYSTEM_ERROR;
    *made = new ncclComm{shared, rank, ranks};
    (*made)->wait();
    if (!rank) shm_unlink(id.internal);
    return SUCCESS;
}

ncclResult_t ncclCommAbort(ncclComm_t group) {
    munmap(group->shared, sizeof(Shared));
    delete group;
    return SUCCESS;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t *error) { *error = SUCCESS; return SUCCESS; }

ncclResult_t ncclGroupStart() { ENTER grouped = true; return SUCCESS; }

ncclResult_t ncclAllReduce(const void *from, void *to, size_t count, int type, int op, ncclComm_t group, void *) {
    ENTER
    if (!grouped || type != FLOAT32 || op != SUM) COMPLAIN(INVALID_ARGUMENT, "type %d, operation %d, %s", type, op, grouped ? "grouped" : "alone");
    calls.push_back({(const float *)from, (float *)to, count, group});
    return SUCCESS;
}

ncclResult_t ncclGroupEnd() {
    ENTER
    const char *path = getenv("FAKECUDA_LOG");
    FILE *log = path ? fopen(path, "a") : nullptr;
    ncclResult_t result = SUCCESS;
    for (const Call &call : calls) {
        if (log) fprintf(log, "SUM %zu\n", call.count);
        if (result == SUCCESS) result = sum(call);
    }
    if (log) fclose(log);
    calls.clear();
    grouped = false;
    return result;
}

} // extern "C"
