#include "tools/studio/store/jobs.hpp"

#include "data/base/error.hpp"
#include "tools/studio/store/schema.hpp"

namespace studio {

int64_t add_job(data::Database& store,
                const std::string& kind,
                const std::string& request,
                const std::string& folder) {
  store.prepare("INSERT INTO job (kind, request, folder, at) VALUES (?, ?, ?, ?)")
      .bind(kind, request, folder, now())
      .run();
  return store.last_row();
}

void add_job_event(data::Database& store,
                   int64_t job,
                   const std::string& state,
                   const std::string& note) {
  store.prepare("INSERT INTO job_event (job, state, note, at) VALUES (?, ?, ?, ?)")
      .bind(job, state, note, now())
      .run();
}

std::vector<StoredJob> jobs(data::Database& store) {
  auto rows = store.prepare(
      "SELECT job.id, kind, request, folder, coalesce(state, 'interrupted'), coalesce(note, ''), "
      "job.at FROM job LEFT JOIN job_event ON job_event.id = (SELECT max(id) FROM job_event WHERE "
      "job_event.job = job.id) ORDER BY job.id DESC");
  std::vector<StoredJob> found;
  while (rows.next())
    found.push_back({.id = rows.integer(0),
                     .kind = rows.text(1),
                     .request = rows.text(2),
                     .folder = rows.text(3),
                     .state = rows.text(4),
                     .note = rows.text(5),
                     .at = rows.integer(6)});
  return found;
}

StoredJob job_of(data::Database& store, int64_t id) {
  for (auto& job : jobs(store)) {
    if (job.id == id) return job;
  }
  throw data::BadInput("job: expected one of this store");
}

}  // namespace studio
