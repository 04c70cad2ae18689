// Ready-made operations, in the order of the menu; the first is the page's opening tab.
// Each file's first comment is its title. Variables, where it has any, are in the .json file of the same name.
import acknowledge from "./acknowledge.graphql";
import acknowledgeVariables from "./acknowledge.json";
import analyses from "./analyses.graphql";
import analyzeHub from "./analyze-hub.graphql";
import analyzeHubVariables from "./analyze-hub.json";
import analyzeLink from "./analyze-link.graphql";
import analyzeLinkVariables from "./analyze-link.json";
import analyzeNetwork from "./analyze-network.graphql";
import analyzeNetworkVariables from "./analyze-network.json";
import analyzeSatellite from "./analyze-satellite.graphql";
import analyzeSatelliteVariables from "./analyze-satellite.json";
import anomalies from "./anomalies.graphql";
import detect from "./detect.graphql";
import detectVariables from "./detect.json";
import follow from "./follow.graphql";
import followVariables from "./follow.json";
import link from "./link.graphql";
import models from "./models.graphql";
import outcome from "./outcome.graphql";
import outcomeVariables from "./outcome.json";
import recommend from "./recommend.graphql";
import recommendVariables from "./recommend.json";
import recommendations from "./recommendations.graphql";
import record from "./record.graphql";
import recordVariables from "./record.json";
import sensitivity from "./sensitivity.graphql";
import sensitivityVariables from "./sensitivity.json";
import topology from "./topology.graphql";
import viewer from "./viewer.graphql";
import watchRecommendations from "./watch-recommendations.graphql";
import watch from "./watch.graphql";

const example = (query, variables) => ({
  title: query.match(/^# (.+)/)[1],
  query,
  variables: variables ? JSON.stringify(variables, null, 2) : "",
});

export const examples = [
  example(watch),
  example(viewer),
  example(topology),
  example(link),
  example(follow, followVariables),
  example(anomalies),
  example(record, recordVariables),
  example(detect, detectVariables),
  example(acknowledge, acknowledgeVariables),
  example(recommend, recommendVariables),
  example(outcome, outcomeVariables),
  example(recommendations),
  example(watchRecommendations),
  example(analyses),
  example(analyzeSatellite, analyzeSatelliteVariables),
  example(analyzeHub, analyzeHubVariables),
  example(analyzeNetwork, analyzeNetworkVariables),
  example(analyzeLink, analyzeLinkVariables),
  example(models),
  example(sensitivity, sensitivityVariables),
];

/** Samples are worth recording only at the present time. */
export const fill = (variables) => variables.replaceAll("NOW", new Date().toISOString());
