#include "runtime/schedule.h"

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace emulator {
namespace {

const char* name_of(Order order) {
  switch (order) {
    case Order::kAscending:
      return "ascending";
    case Order::kDescending:
      return "descending";
    case Order::kPriorities:
      return "priorities";
    case Order::kRandom:
      return "random";
  }
  return "?";
}

const char* name_of(Timing timing) {
  switch (timing) {
    case Timing::kEager:
      return "eager";
    case Timing::kLazy:
      return "lazy";
    case Timing::kRandom:
      return "random";
  }
  return "?";
}

Schedule make(size_t index, Order order, Timing copies, Timing wgmma) {
  Schedule schedule{};
  std::snprintf(schedule.name, sizeof schedule.name, "%02zu-%s-copies_%s-wgmma_%s", index,
                name_of(order), name_of(copies), name_of(wgmma));
  schedule.order = order;
  schedule.copies = copies;
  schedule.wgmma = wgmma;
  schedule.seed = index + 1;
  schedule.tight_alignment = index % 2 == 1;
  return schedule;
}

// Every strict order with every pair of extreme engines, then random ones. The first four differ
// in the order alone, so that a short run takes the first few.
std::vector<Schedule> make_schedules() {
  std::vector<Schedule> schedules;
  auto add = [&](Order order, Timing copies, Timing wgmma) {
    schedules.push_back(make(schedules.size(), order, copies, wgmma));
  };
  for (Order order : {Order::kAscending, Order::kDescending, Order::kPriorities, Order::kRandom}) {
    add(order, Timing::kLazy, Timing::kLazy);
  }
  for (Order order : {Order::kAscending, Order::kDescending, Order::kRandom}) {
    add(order, Timing::kLazy, Timing::kEager);
    add(order, Timing::kEager, Timing::kLazy);
    add(order, Timing::kEager, Timing::kEager);
  }
  for (Timing timing :
       {Timing::kEager, Timing::kLazy, Timing::kRandom, Timing::kEager, Timing::kRandom}) {
    add(Order::kPriorities, timing, timing);
  }
  for (int repeat = 0; repeat < 4; ++repeat) {
    add(Order::kRandom, Timing::kRandom, Timing::kRandom);
  }
  return schedules;
}

const std::vector<Schedule>& all_schedules() {
  static const std::vector<Schedule> schedules = make_schedules();
  return schedules;
}

}  // namespace

size_t schedule_count() { return all_schedules().size(); }

const Schedule& schedule_at(size_t index) {
  if (index >= schedule_count()) {
    std::fprintf(stderr, "emulator: there is no schedule %zu\n", index);
    std::abort();
  }
  return all_schedules()[index];
}

}  // namespace emulator
