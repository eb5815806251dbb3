#include "rl/objectives.h"

#include "rl/episode_batch.h"

namespace coxswain {

namespace {

TensorView column(const Batch& batch, PolicyColumn which) { return batch.columns[static_cast<std::int64_t>(which)]; }
TensorView column(const Batch& batch, ValueColumn which) { return batch.columns[static_cast<std::int64_t>(which)]; }

// The numbers of a token each, [m], as a table of rows that an embedding can look up.
TensorView as_table(TensorView numbers) { return numbers.reshape({numbers.elements(), 1}); }

}  // namespace

void PolicyLoss::evaluate(Backend& backend, TensorView outputs, const Batch& batch, TensorView terms,
                          TensorView gradient) const {
  Backend::PolicyLoss op;
  op.token_loss = outputs;
  op.old_log_probs = column(batch, PolicyColumn::old_log_probs);
  op.advantages = column(batch, PolicyColumn::advantages);
  op.weights = batch.weights;
  op.clip = clip_;
  op.gradient = gradient;
  op.terms = terms;
  backend.policy_loss(op);
}

void ValueLoss::evaluate(Backend& backend, TensorView outputs, const Batch& batch, TensorView terms,
                         TensorView gradient) const {
  Backend::ValueLoss op;
  op.values = outputs;
  op.old_values = column(batch, ValueColumn::old_values);
  op.returns = column(batch, ValueColumn::returns);
  op.weights = batch.weights;
  op.clip = clip_;
  op.gradient = gradient;
  op.terms = terms;
  backend.value_loss(op);
}

void RankingObjective::evaluate(Backend& backend, TensorView outputs, const Batch& batch, TensorView terms,
                                TensorView gradient) const {
  const std::int64_t sequences = batch.sequences, groups = sequences / responses_;
  const Tensor scores(backend, DType::f32, {sequences, 1}), score_gradients(backend, DType::f32, {sequences, 1});
  const Tensor weights(backend, DType::f32, {sequences, 1}), group_weights(backend, DType::f32, {groups});
  backend.embedding(batch.score_rows, as_table(outputs), 0, scores);
  backend.embedding(batch.score_rows, as_table(batch.weights), 0, weights);
  const TensorView first_of_group = weights.view().reshape({groups, responses_}).slice(1, 0, 1);
  backend.copy(first_of_group, group_weights.view().reshape({groups, 1}));

  const Shape by_group{groups, responses_};
  Backend::RankingLoss op;
  op.kind = kind_;
  op.scores = scores.view().reshape(by_group);
  op.ranks = batch.ranks.view().reshape(by_group);
  op.group_weights = group_weights;
  op.gradient = score_gradients.view().reshape(by_group);
  op.terms = terms;
  backend.ranking_loss(op);

  backend.fill(gradient, 0.0);
  backend.embedding_gradient(batch.score_rows, score_gradients, 0, as_table(gradient));  // to the rows they came from
}

}  // namespace coxswain
