// Calls an action, tails its run, and prints what a refusal says. The server: flowstate serve examples.assistant:flowstate
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>

#include <grpcpp/grpcpp.h>

#include "flowstate/v1/event_service.grpc.pb.h"
#include "flowstate/v1/flow_service.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace v1 = flowstate::v1;

namespace {

void prepare(grpc::ClientContext& context) {
  context.AddMetadata("x-flowstate-user", "ada");
}

void set_deadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
}

v1::ActionSpec say(const std::string& flow_kind) {
  std::random_device random;
  v1::ActionSpec spec;
  spec.set_flow_kind(flow_kind);
  spec.set_action("say");
  spec.set_user_id("ada");
  // With an id of its own the call may be repeated: it attaches to the same run.
  spec.set_request_id("cpp-" + std::to_string(random()) + std::to_string(random()));
  spec.mutable_input()->set_json(R"({"message": "Where is order 7?"})");
  return spec;
}

void require(const grpc::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.error_message());
}

// What google.rpc says of an error travels in the trailer grpc-status-details-bin, which gRPC hands over undecoded.
google::rpc::ErrorInfo error_info(const grpc::Status& status) {
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  if (details.ParseFromString(status.error_details())) {
    for (const auto& detail : details.details()) {
      if (detail.UnpackTo(&info)) break;
    }
  }
  return info;
}

void call(v1::FlowService::Stub& flows) {
  grpc::ClientContext context;
  prepare(context);
  set_deadline(context);
  v1::CallActionRequest request;
  *request.mutable_spec() = say("assistant");
  v1::CallActionResponse response;
  require(flows.CallAction(&context, request, &response));
  if (!response.done()) throw std::runtime_error("the action takes longer than the call");
  std::cout << "output " << response.action_request().output().json() << '\n';
}

// One attempt of a tail, from the cursor on, which it moves. Whether the log has ended.
bool tail(v1::EventService::Stub& events, const std::string& request_id, v1::Cursor& cursor) {
  grpc::ClientContext context;  // no deadline: a tail lasts as long as the run
  prepare(context);
  v1::TailEventsRequest request;
  request.set_request_id(request_id);
  *request.mutable_after() = cursor;
  v1::TailEventsResponse frame;
  bool ended = false;
  const auto reader = events.TailEvents(&context, request);
  while (reader->Read(&frame)) {
    if (frame.has_batch() && cursor.sequence() != frame.batch().after_sequence()) {
      throw std::runtime_error("the tail has a hole");
    }
    for (const auto& event : frame.batch().events()) {
      std::cout << event.sequence() << ' ' << event.type();
      if (event.payload_case() == v1::Event::kItemDelta) std::cout << ' ' << event.item_delta().text();
      std::cout << '\n';
    }
    cursor = frame.cursor();
    ended = frame.has_ended();
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok() && status.error_code() != grpc::StatusCode::UNAVAILABLE) require(status);
  return ended;  // OK without it is no end: resume
}

void dispatch_and_tail(v1::FlowService::Stub& flows, v1::EventService::Stub& events) {
  grpc::ClientContext context;
  prepare(context);
  set_deadline(context);
  v1::DispatchActionRequest request;
  *request.mutable_spec() = say("assistant");
  v1::DispatchActionResponse response;
  require(flows.DispatchAction(&context, request, &response));
  v1::Cursor cursor;
  while (!tail(events, response.action_request().request_id(), cursor)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // better: growing, and by chance
  }
}

void be_refused(v1::FlowService::Stub& flows) {
  grpc::ClientContext context;
  prepare(context);
  set_deadline(context);
  v1::DispatchActionRequest request;
  *request.mutable_spec() = say("no-such-flow");
  v1::DispatchActionResponse response;
  const grpc::Status status = flows.DispatchAction(&context, request, &response);
  const google::rpc::ErrorInfo info = error_info(status);
  std::cout << info.domain() << ' ' << info.reason();
  for (const auto& [key, value] : info.metadata()) std::cout << ' ' << key << '=' << value;
  std::cout << '\n';
  if (status.error_code() != grpc::StatusCode::NOT_FOUND || info.reason() != "FLOW_NOT_FOUND") {
    throw std::runtime_error("it was to be refused as FLOW_NOT_FOUND");
  }
}

}  // namespace

int main() {
  const char* given = std::getenv("FLOWSTATE_SERVER");
  const auto channel =
      grpc::CreateChannel(given != nullptr ? given : "127.0.0.1:7437", grpc::InsecureChannelCredentials());
  v1::FlowService::Stub flows(channel);
  v1::EventService::Stub events(channel);
  try {
    call(flows);
    dispatch_and_tail(flows, events);
    be_refused(flows);
  } catch (const std::exception& error) {
    std::cerr << "smoke: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
